package health

import (
	"fmt"
	"path"
	"slices"
	"strings"

	"mainstay/controller/platform"
)

// Structure is the result of checking the structure of a member's data (tables, indexes, visibility maps, files) by the server's own
// functions. What of it is evidence against that copy of the data is in StructureFound.
type Structure struct {
	// Running: it has not reached its end. Waiting is the reason why it checks nothing at the moment. Percent is the share of the databases'
	// bytes.
	Running bool   `json:"running,omitempty"`
	Waiting string `json:"waiting,omitempty"`
	Percent int    `json:"percent,omitempty"`
	// Complete: it has checked everything. Ended is the reason why it ended before that; "" if it did not.
	Complete bool   `json:"complete,omitempty"`
	Ended    string `json:"ended,omitempty"`
	AgeMS    int64  `json:"ageMS,omitempty"`  // since it ended, in milliseconds
	TookMS   int64  `json:"tookMS,omitempty"` // milliseconds, with its pauses
	// Position is the server's WAL position when it began. Version is the major version of that server, Standby its role.
	Position platform.LSN `json:"position,omitempty"`
	Version  int          `json:"version,omitempty"`
	Standby  bool         `json:"standby,omitempty"`

	Databases int                        `json:"databases"` // that were checked to their ends
	Blocks    int64                      `json:"blocks"`    // of tables, whose rows were checked
	Checks    map[string]StructureCounts `json:"checks,omitempty"`
	Vanished  int64                      `json:"vanished,omitempty"` // relations that were dropped meanwhile
	// Retried counts statements without a verdict, GaveWay those of them that gave way to sessions or to recovery.
	Retried int64 `json:"retried,omitempty"`
	GaveWay int64 `json:"gaveWay,omitempty"`
	// Unverified are the reasons for which relations have no verdict, those with most relations first, and at most 100.
	Unverified []StructureReason `json:"unverified,omitempty"`
	// Damage lists at most 100 damaged relations; Checks counts all relations.
	Damage []StructureDamage `json:"damage,omitempty"`
}

// StructureCounts are relations, by the verdict of one check.
type StructureCounts struct {
	Clean      int64 `json:"clean"`
	Suspect    int64 `json:"suspect,omitempty"`
	Corrupt    int64 `json:"corrupt,omitempty"`
	Unverified int64 `json:"unverified,omitempty"`
}

// StructureReason is a reason for which checks gave no verdict, with the number of relations.
type StructureReason struct {
	Check     string `json:"check"`
	Why       string `json:"why"`
	Relations int64  `json:"relations"`
}

// StructureDamage is a relation that is damaged by the verdict of one check.
type StructureDamage struct {
	Database string `json:"database"`
	Relation string `json:"relation,omitempty"` // with its schema; "" for the database's catalog as a whole
	Node     uint32 `json:"node,omitempty"`     // the number of its file
	Check    string `json:"check"`
	Suspect  bool   `json:"suspect,omitempty"` // there is an innocent explanation, too
	Found    int    `json:"found"`             // findings
	// Evidence has the first of them, at most 5.
	Evidence []StructureFinding `json:"evidence,omitempty"`
}

// StructureFinding is one piece of evidence.
type StructureFinding struct {
	Kind  string `json:"kind"`
	Block *int64 `json:"block,omitempty"` // of the relation's main fork; nil where the server names none
	Text  string `json:"text"`            // as the server said it
}

// StructureFound is what a check of the structure has found that is damage beyond doubt, for the controllers.
type StructureFound struct {
	Incarnation string `json:"incarnation"` // of the data that was checked
	// Complete: the check has reached its end, and Damage has all that it found. What is not in it was not found.
	Complete bool           `json:"complete,omitempty"`
	Damage   []RelationFile `json:"damage,omitempty"` // at most 20
}

// RelationFile is the file of a damaged relation.
type RelationFile struct {
	Name string `json:"name"` // database, schema and relation
	Node uint32 `json:"node"` // the number of the file
	// Check and Kind are what found it, and what is wrong.
	Check string `json:"check"`
	Kind  string `json:"kind"`
	// Own: WAL does not carry such damage, so that it is this copy's own. Other damage may be the same on every member.
	Own bool `json:"own,omitempty"`
}

// mostReported bounds StructureFound.Damage.
const mostReported = 20

// OwnKinds are the kinds of findings that WAL does not carry: a page that the server cannot read, and files that are missing, too short or
// too long. A replica that replays the WAL of a sound primary has sound files. All other kinds (rows, index entries, duplicate keys, bits
// of a visibility map) may have been written by a primary, and then every replica has them.
var OwnKinds = []string{"page", "missing file", "file size"}

// Against is what the check of that data has found beyond doubt; nil: no check.
func (s *Structure) Against(incarnation string) *StructureFound {
	if s == nil || incarnation == "" {
		return nil
	}
	f := &StructureFound{Incarnation: incarnation, Complete: s.Complete && s.Looked()}
	corrupt := int64(0)
	for _, d := range s.Damage {
		if d.Suspect {
			continue
		}
		if corrupt++; len(f.Damage) == mostReported {
			continue
		}
		r := RelationFile{Name: strings.TrimSuffix(d.Database+"."+d.Relation, "."), Node: d.Node, Check: d.Check}
		for _, e := range d.Evidence {
			if own := slices.Contains(OwnKinds, e.Kind); r.Kind == "" || own && !r.Own {
				r.Kind, r.Own = e.Kind, own
			}
		}
		f.Damage = append(f.Damage, r)
	}
	all, _ := s.Wrong()
	f.Complete = f.Complete && all == int64(len(f.Damage))
	return f
}

// Has tells whether the check has found damage of that relation by that check, too.
func (f *StructureFound) Has(r RelationFile) bool {
	return slices.ContainsFunc(f.Damage, func(o RelationFile) bool { return o.Name == r.Name && o.Check == r.Check })
}

// In tells whether a page that a comparison has found is one of that file.
func (r RelationFile) In(d DifferentBlock) bool {
	node, _, _ := strings.Cut(path.Base(d.Path), "_")
	return node == fmt.Sprint(r.Node) && d.Relation == r.Name
}

// String names it as evidence does.
func (r RelationFile) String() string { return DamagedPage(r.Name, r.Check+": "+r.Kind) }

// Looked tells whether tables or indexes were verified at all: without the extensions, only files are.
func (s *Structure) Looked() bool { return s.Checks["heap"].Clean+s.Checks["btree"].Clean > 0 }

// Whole tells whether it has reached its end, has verified tables or indexes, and has found nothing.
func (s *Structure) Whole() bool {
	corrupt, suspect := s.Wrong()
	return s.Complete && s.Looked() && corrupt+suspect == 0
}

// Says names the damaged relations that it has found, the first ones with their check; "" for none.
func (s *Structure) Says() string {
	corrupt, suspect := s.Wrong()
	if corrupt+suspect == 0 {
		return ""
	}
	var names []string
	for _, d := range s.Damage {
		names = append(names, DamagedPage(strings.TrimSuffix(d.Database+"."+d.Relation, "."), d.Check))
	}
	if len(names) == 0 {
		return fmt.Sprintf("%d relations", corrupt+suspect)
	}
	return NamePages("", names, corrupt+suspect-int64(len(names)))
}

// Wrong is how many verdicts are corrupt, and how many suspect.
func (s *Structure) Wrong() (corrupt, suspect int64) {
	for _, c := range s.Checks {
		corrupt, suspect = corrupt+c.Corrupt, suspect+c.Suspect
	}
	return corrupt, suspect
}
