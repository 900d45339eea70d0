package access_test

import (
	"fmt"

	"github.com/sago-worm/sago/access"
)

func ExampleDecide() {
	officer := access.Principal{ID: 12, Role: access.RoleOfficer, Institution: 1}
	fmt.Println(access.Decide(officer, access.VerbGet))
	fmt.Println(access.Decide(officer, access.VerbHoldRelease))
	// Output:
	// <nil>
	// officer may not hold-release: the role does not allow it
}
