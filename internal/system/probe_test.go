package system_test
import ("testing";"time";"github.com/sago-worm/sago/internal/testcluster")
func TestProbe(t *testing.T){
	ctx:=bounded(t,60*time.Second)
	t0:=time.Now()
	s:=newSite(t,testcluster.Options{})
	t.Log("ceremony",time.Since(t0)); t0=time.Now()
	must(t,s.StartAll()); must(t,s.Ready(ctx)); t.Log("ready",time.Since(t0)); t0=time.Now()
	st,_:=s.Status(ctx); t.Log(st)
	t.Log(s.sago(ctx,0,0,"admin","clock","status"))
	s.intact(ctx); t.Log("verify",time.Since(t0))
}
