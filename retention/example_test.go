package retention_test

import (
	"fmt"
	"time"

	"github.com/sago-worm/sago/retention"
)

func ExampleRule_Deadline() {
	kst := time.FixedZone("KST", 9*3600)
	rule, err := retention.ParseRule("P5Y")
	if err != nil {
		fmt.Println(err)
		return
	}
	deadline, err := rule.Deadline(retention.FromTime(time.Date(2026, 3, 1, 10, 0, 0, 0, kst)))
	fmt.Println(deadline.Time().In(kst).Format(time.RFC3339), err)
	// Output: 2031-03-02T00:00:00+09:00 <nil>
}

func ExampleClock_Advance() {
	clock := retention.NewClock(retention.FromTime(time.Date(2026, 3, 1, 0, 0, 0, 0, time.UTC)))
	var votes []retention.Vote
	for voter := range uint32(2) {
		earliest := clock.Ceremony.Add(time.Minute + time.Duration(voter)*time.Second)
		votes = append(votes, retention.Vote{
			Voter: voter, Round: clock.Round, Earliest: earliest, Latest: earliest.Add(20 * time.Millisecond),
			BootID: [16]byte{1, byte(voter)}, BootReading: 1e9,
		})
	}
	clock, tick, err := clock.Advance([]uint32{0, 1, 2}, votes, retention.DefaultClockPolicy())
	fmt.Println(clock.Now, tick.Start, err)
	// Output: 2026-03-01T00:01:00Z 2026-03-01T00:01:01.02Z <nil>
}
