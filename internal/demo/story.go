package main

import (
	"fmt"
	"io"
	"slices"
	"strings"
	"time"
)

// story prints what happens, step by step, and keeps the score for the table at
// the end.
type story struct {
	out   io.Writer
	begun time.Time
	step  int
	// shown holds the requirements that were shown; partly those of which
	// something is missing, and what.
	shown  []string
	partly map[string]string
}

// title begins a step.
func (s *story) title(ko, en string) {
	s.step++
	fmt.Fprintf(s.out, "\n[%d] %s\n    %s\n", s.step, ko, en)
}

// say tells one fact: in Korean, and under it in English.
func (s *story) say(ko, en string) { fmt.Fprintf(s.out, "    · %s\n      %s\n", ko, en) }

// figure tells one fact that needs no language.
func (s *story) figure(format string, args ...any) {
	fmt.Fprintf(s.out, "    · "+format+"\n", args...)
}

// proves notes requirements that the step showed.
func (s *story) proves(requirements ...string) { s.shown = append(s.shown, requirements...) }

// lacks notes that a requirement is shown in part at most, and why.
func (s *story) lacks(requirement, why string) { s.partly[requirement] = why }

// skip says that something was not done here, why, and what is therefore shown in
// part at most.
func (s *story) skip(ko, en string, requirements ...string) {
	fmt.Fprintf(s.out, "    · 건너뜀: %s\n      SKIPPED: %s\n", ko, en)
	for _, r := range requirements {
		s.lacks(r, "skipped: "+en)
	}
}

// row is one block of 별표 6.
type row struct{ clause, ko, en, requirements string }

// annex is 별표 6 (보안저장소 규격) block by block.
func annex() []row {
	return []row{
		{"1", "보존: 누구도 기간 안에 지우거나 고치지 못함", "kept: nobody deletes or changes within the period", "R1 R2"},
		{"1", "보존: 기간이 지나면 반드시 지워짐", "kept: deleted once the period is over", "R3"},
		{"1", "기준시간: 시스템 시간을 바꿔도 그대로", "reference time: the system's time changes nothing", "R4 R5"},
		{"1", "지문: SHA-256, 변조를 찾아냄", "fingerprint: SHA-256, alterations are found", "R7 R8"},
		{"2", "이력: 쓰는 동안에도 앞의 기록은 보호됨", "history: protected while it is written", "R9 R10"},
		{"3", "복제: 실시간, 같은 보존기간", "replication: at once, with the same period", "R11 R12 R13"},
		{"4", "독립된 저장소", "a store of its own", "R14"},
		{"5", "특수삭제: 명령과 여러 사람의 승인이 있을 때만, 모든 사본에서", "special deletion: by an order and several persons alone, on every copy", "R15"},
		{"6", "특수삭제 이력: 지울 수 없는 별도의 기록", "its records: of their own, unerasable", "R16 R17"},
	}
}

// table prints what was shown against 별표 6.
func (s *story) table() {
	fmt.Fprintf(s.out, "\n별표 6과 견줌 · HELD AGAINST ANNEX 6\n")
	var notes []string
	for _, r := range annex() {
		verdict, why := s.verdict(r)
		fmt.Fprintf(s.out, "  %s  %-12s %-12s %s\n  %s\n", r.clause, verdict, r.numbers(), r.ko, strings.Repeat(" ", 27)+" "+r.en)
		notes = append(notes, why...)
	}
	beyond := slices.Compact(slices.Sorted(slices.Values(s.shown)))
	beyond = slices.DeleteFunc(beyond, func(number string) bool {
		return slices.ContainsFunc(annex(), func(r row) bool { return slices.Contains(strings.Fields(r.requirements), number) })
	})
	fmt.Fprintf(s.out, "  그 밖에 보인 것 · also shown: %s\n", strings.Join(beyond, " "))
	for _, n := range notes {
		fmt.Fprintf(s.out, "  * %s\n", n)
	}
}

func (r row) numbers() string {
	return strings.ReplaceAll(r.requirements, " ", ",")
}

// verdict is shown only for a row whose every requirement was.
func (s *story) verdict(r row) (verdict string, why []string) {
	verdict = "shown"
	for _, number := range strings.Fields(r.requirements) {
		if reason, ok := s.partly[number]; ok {
			verdict, why = "partly", append(why, number+": "+reason)
		} else if !slices.Contains(s.shown, number) {
			return "NOT SHOWN", append(why, number+": no step showed it")
		}
	}
	return verdict, why
}
