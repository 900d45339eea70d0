package forensic

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/sago-worm/sago/store/format"
)

// ErrInput is returned (wrapped) for an Input that cannot be searched for.
var ErrInput = errors.New("forensic: wrong input")

// DefaultSlide is what Input.Slide is when it is 0: 4 GiB.
const DefaultSlide = 4 << 30

// Input says what is searched, and for what.
type Input struct {
	// Transaction (거래일련번호) and Part name the bundle. Institution 0 means of any.
	Transaction string
	Part        uint32
	Institution uint32
	// Roots are the root keys of the nodes.
	Roots []Root
	// Recovery are recovery keys of officers: enough of them open key archives.
	Recovery []RecoveryKey
	// Paths are directories, files or block devices. They are only read.
	Paths []string
	// Slide bounds, in bytes that are hashed, the search for ciphertext that no
	// header stands before.
	Slide int64
	// Out, if not empty, is a folder that is made for what is recovered; it must not
	// exist, and not lie in one of Paths.
	Out string
}

// Verdict is the end of a search.
type Verdict string

// The verdicts.
const (
	// Recovered: a key of the bundle opened (복구됨): its content, or what confirms a
	// guess of it, still exists.
	Recovered Verdict = "recovered"
	// Nothing: all was searched and nothing opened (복구되지 않음).
	Nothing Verdict = "nothing"
	// Incomplete: nothing opened, and the search was not whole (불완전).
	Incomplete Verdict = "incomplete"
)

// Report is what a search found. Its JSON is a promise to scripts.
type Report struct {
	Verdict     Verdict `json:"verdict"`
	Transaction string  `json:"transaction"`
	Part        uint32  `json:"part"`
	Institution uint32  `json:"institution"`
	Files       int     `json:"files"`
	Bytes       int64   `json:"bytes"`
	Ways        []Way   `json:"ways"`
	// Bundles are the things under this number for which records, rows or log
	// operations name a key slot: stored ones, and attempts that were not.
	Bundles []Bundle `json:"bundles"`
	// KeyArchives are those that were found, whatever is in them.
	KeyArchives []KeyArchive `json:"key_archives"`
	// Problems are why the search was not whole.
	Problems []string `json:"problems"`
	// Bounded is what was not searched, by design or by Input.Slide.
	Bounded []string `json:"bounded"`
}

// Way is one way of looking: what it came to among how many candidates.
type Way struct {
	Name  string `json:"name"`
	Found int    `json:"found"`
	Of    int    `json:"of"`
}

// The names of the ways (docs/forensic.md says what each does).
const (
	WayRecords    = "history records"
	WayOperations = "log operations"
	WayRows       = "index rows"
	WayHeaders    = "chunk headers"
	WayDigest     = "ciphertext without header"
	WayInPlace    = "key slots in place"
	WayAnywhere   = "key slots anywhere"
	WayArchives   = "key archives"
	WayDetails    = "details"
	WayPages      = "database pages not in use"
)

// Place is where something was found.
type Place struct {
	File   string `json:"file"`
	Offset int64  `json:"offset"`
	// Page says, in a database file, which page it is and whether it is in use.
	Page string `json:"page,omitempty"`
}

// String is file+offset and the page.
func (p Place) String() string {
	if p.Page == "" {
		return fmt.Sprintf("%s+%d", p.File, p.Offset)
	}
	return fmt.Sprintf("%s+%d (%s)", p.File, p.Offset, p.Page)
}

func (p Place) compare(o Place) int {
	return cmp.Or(strings.Compare(p.File, o.File), cmp.Compare(p.Offset, o.Offset))
}

// Way answers the way of that name.
func (r *Report) Way(name string) Way {
	i := slices.IndexFunc(r.Ways, func(w Way) bool { return w.Name == name })
	if i < 0 {
		return Way{Name: name}
	}
	return r.Ways[i]
}

// search is one search on its way. What it knows is added by the passes in turn.
type search struct {
	in       Input
	sources  []*source
	known    knowledge
	keys     keys
	chunks   map[format.Slot][]chunkCopy
	slots    map[format.Slot][]SlotCopy
	archives []KeyArchive
	ways     map[string]*Way
	faults   map[string]bool
	bounded  map[string]bool
}

func newSearch(in Input) *search {
	return &search{in: in, known: newKnowledge(), keys: keys{}, chunks: map[format.Slot][]chunkCopy{}, slots: map[format.Slot][]SlotCopy{},
		ways: map[string]*Way{}, faults: map[string]bool{}, bounded: map[string]bool{}}
}

func (s *search) way(name string) *Way {
	if s.ways[name] == nil {
		s.ways[name] = &Way{Name: name}
	}
	return s.ways[name]
}

func (s *search) problem(f string, args ...any) { s.faults[fmt.Sprintf(f, args...)] = true }
func (s *search) bound(f string, args ...any)   { s.bounded[fmt.Sprintf(f, args...)] = true }

// Search looks for a bundle in every way. The error is nil unless the input makes
// no sense, the context ended or Out could not be written: a path that cannot be
// read makes the report incomplete.
func Search(ctx context.Context, in Input) (Report, error) {
	if in.Transaction == "" || len(in.Transaction) > format.MaxTransaction || len(in.Paths) == 0 {
		return Report{}, fmt.Errorf("%w: a transaction number and something to search are needed", ErrInput)
	}
	if err := checkOut(in); err != nil {
		return Report{}, err
	}
	if in.Slide == 0 {
		in.Slide = DefaultSlide
	}
	s := newSearch(in)
	s.collect()
	for _, pass := range []func(context.Context) error{s.learn, s.judgeRoots, s.openInPlace, s.openArchives, s.hunt, s.slide} {
		if err := pass(ctx); err != nil {
			return Report{}, err
		}
	}
	bundles, err := s.recoverAll(ctx)
	if err != nil {
		return Report{}, err
	}
	s.openDetails()
	s.judgeKnowledge()
	return s.report(bundles), nil
}

// judgeKnowledge names what was missing to know what to look for.
func (s *search) judgeKnowledge() {
	if len(s.in.Roots) == 0 {
		s.problem("no root key was given: no key slot can be opened")
	}
	switch len(s.known.clusters) {
	case 0:
		s.problem("no file header names a cluster: no key slot can be opened")
	case 1:
	default:
		s.problem("these are files of %d clusters: give the directories of one", len(s.known.clusters))
	}
	if len(s.known.targets) == 0 {
		s.problem("nothing names a key slot for this number: there was no such bundle, or its history, log and index are not here")
	}
	for _, src := range s.sources {
		for _, f := range src.faults {
			s.problem("%s", f)
		}
	}
	s.bound("plain 32-byte keys and ciphertext whose tag fails are not searched for")
	s.bound("compressed, encrypted or fragmented copies are searched as the bytes that they are")
}

func (s *search) report(bundles []Bundle) Report {
	r := Report{Transaction: s.in.Transaction, Part: s.in.Part, Institution: s.in.Institution, Files: len(s.sources), Bundles: bundles,
		Problems: slices.Sorted(maps.Keys(s.faults)), Bounded: slices.Sorted(maps.Keys(s.bounded)), KeyArchives: append([]KeyArchive{}, s.archives...)}
	slices.SortFunc(r.KeyArchives, func(a, b KeyArchive) int { return a.Place.compare(b.Place) })
	for _, name := range []string{WayRecords, WayOperations, WayRows, WayHeaders, WayDigest, WayInPlace, WayAnywhere, WayArchives, WayDetails, WayPages} {
		r.Ways = append(r.Ways, *s.way(name))
	}
	for _, src := range s.sources {
		r.Bytes += src.size
	}
	r.Verdict = Nothing
	if len(r.Problems) > 0 {
		r.Verdict = Incomplete
	}
	if slices.ContainsFunc(bundles, func(b Bundle) bool { return b.Recovery != None }) {
		r.Verdict = Recovered
	}
	return r
}
