package access

import "fmt"

// Role is the kind of a principal. The numbers are stored and signed; they are
// never reused or renumbered.
type Role uint8

// The roles. The zero Role is nobody's.
const (
	RoleOfficer     Role = 1 // 업무담당자
	RoleApplication Role = 2 // an institution's application (이용기관 시스템)
	RoleManager     Role = 3 // 권한관리책임자, the access manager
	RoleApprover    Role = 4 // 결재자, approves and vetoes special deletions
	RoleHead        Role = 5 // 부서장, the department head
	RoleAdmin       Role = 6 // 시스템 관리자
	RoleAuditor     Role = 7 // 감사자, also an on-site inspector (현장실사)
	RoleContractor  Role = 8 // 외주
)

var roleNames = map[Role]string{
	RoleOfficer: "officer", RoleApplication: "application", RoleManager: "manager", RoleApprover: "approver",
	RoleHead: "head", RoleAdmin: "admin", RoleAuditor: "auditor", RoleContractor: "contractor",
}

// Roles returns every role, ascending by number.
func Roles() []Role {
	return []Role{
		RoleOfficer, RoleApplication, RoleManager, RoleApprover, RoleHead, RoleAdmin, RoleAuditor, RoleContractor,
	}
}

// String is the role's name, as answers and messages show it.
func (r Role) String() string {
	if n, ok := roleNames[r]; ok {
		return n
	}
	return fmt.Sprintf("role %d", uint8(r))
}
