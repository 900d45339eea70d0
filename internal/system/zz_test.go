package system_test
import ("testing";"time";"github.com/sago-worm/sago/internal/testcluster")
func TestZZ(t *testing.T){
	ctx:=bounded(t,60*time.Second)
	s:=startSite(t,ctx,testcluster.Options{})
	must(t,s.Kill(2))
	for range 12 { s.statusAt(ctx,0); time.Sleep(time.Second)}
	out,_:=s.SagoAt(ctx,0,"admin","cluster","verify"); t.Log("with node3 away:",out.Exit,out.Stdout)
	must(t,s.Start(2)); must(t,s.ReadyAt(ctx,2))
	begun:=time.Now()
	for range 40 {
		out,_:=s.SagoAt(ctx,0,"admin","--output","json","cluster","verify")
		n:=rowsOf(t,object(t,out.Stdout),"nodes")[2]
		st,_:=s.memberAt(ctx,0,2)
		t.Log(time.Since(begun),out.Exit,n["reachable"],st.GetReachable(),st.GetDetail())
		if n["reachable"]==true {break}
		time.Sleep(500*time.Millisecond)
	}
}
