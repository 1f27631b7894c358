package integrity

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"mainstay/health/integrity/page"
)

// Relation names the files of a table, an index or a sequence as PostgreSQL does, by the OID of its tablespace, that of its database (0: it
// is shared), and its relfilenode.
type Relation struct {
	Space    uint32 `json:"space"`
	Database uint32 `json:"database"`
	Node     uint32 `json:"node"`
}

func (r Relation) String() string { return fmt.Sprintf("%d/%d/%d", r.Space, r.Database, r.Node) }

// OIDs of the tablespaces in the data directory itself.
const (
	DefaultSpace = 1663 // base
	GlobalSpace  = 1664 // global
)

// Block is one page of a fork; Number counts over all of the fork's segments.
type Block struct {
	Relation
	Fork   page.Fork `json:"fork"`
	Number uint32    `json:"block"`
}

func (b Block) String() string {
	return fmt.Sprintf("%s, %s fork, block %d", b.Relation, b.Fork, b.Number)
}

// Compare orders blocks as a scan reads them: below 0 where b comes first, 0 for the same block.
func (b Block) Compare(o Block) int {
	return cmp.Or(cmp.Compare(b.Space, o.Space), cmp.Compare(b.Database, o.Database), cmp.Compare(b.Node, o.Node),
		cmp.Compare(b.Fork, o.Fork), cmp.Compare(b.Number, o.Number))
}

// File is one segment of a fork.
type File struct {
	Relation
	Fork    page.Fork
	Segment uint32
	Size    int64  // bytes when it was listed
	Path    string // below the data directory
}

// leastBlock is the least that a filesystem writes, in bytes.
const leastBlock = 512

// partial tells whether the file ends within a page as an extension leaves it that a full disk or a power cut has stopped. PostgreSQL looks
// at whole pages only, and overwrites the rest when it extends the file the next time (_mdnblocks).
func (f File) partial(pages, segment int64) bool {
	return f.Size < segment && f.Size%pages != 0 && f.Size%leastBlock == 0
}

func (f File) compare(o File) int {
	return cmp.Or(cmp.Compare(f.Space, o.Space), cmp.Compare(f.Database, o.Database), cmp.Compare(f.Node, o.Node),
		cmp.Compare(f.Fork, o.Fork), cmp.Compare(f.Segment, o.Segment))
}

// Reason is why something was not verified.
type Reason string

// Reasons for what is not verified.
const (
	Temporary  Reason = "temporary"        // files of a session's temporary tables
	Unlogged   Reason = "unlogged"         // the main fork and its maps of a relation with an init fork: a crash empties it
	Foreign    Reason = "not PostgreSQL's" // a link, a device, or another user's file
	Unnamed    Reason = "unknown name"     // a file whose name PostgreSQL does not give
	Unopened   Reason = "not readable"     // permission or the like; an error of the disk is a finding
	Excluded   Reason = "excluded"         // by the caller
	Changing   Reason = "changing"         // never two reads alike, with a wrong page each time
	Unfinished Reason = "not finished"     // the check ended before
	Partial    Reason = "partial page"     // behind the last page of a fork: see File.partial
)

// Skipped counts what is not verified.
type Skipped struct {
	Files  int64 `json:"files"`
	Blocks int64 `json:"blocks"`
}

// named reads the name of a file in a database's directory. known is false for what is no file of a relation: then reason says whether it
// counts as left out ("" if not).
func named(name string) (node uint32, fork page.Fork, segment uint32, known bool, reason Reason) {
	switch name {
	case "PG_VERSION", "pg_filenode.map", "pg_internal.init", "pg_control":
		return 0, 0, 0, false, ""
	}
	if strings.HasPrefix(name, "pg_internal.init.") || strings.HasPrefix(name, "pg_filenode.map.") || name == "pgsql_tmp" {
		return 0, 0, 0, false, ""
	}
	stem, last, hasSegment := strings.Cut(name, ".")
	number, suffix, hasFork := strings.Cut(stem, "_")
	if number, ok := strings.CutPrefix(stem, "t"); ok && strings.Contains(number, "_") {
		return 0, 0, 0, false, Temporary
	}
	n, ok := oid(number)
	if hasFork {
		if fork, known = page.ForkOf(suffix); !known || suffix == "" {
			ok = false
		}
	}
	if hasSegment {
		var plain bool
		segment, plain = oid(last)
		ok = ok && plain
	}
	if !ok {
		return 0, 0, 0, false, Unnamed
	}
	return n, fork, segment, true, ""
}

// oid reads a number above 0 as PostgreSQL writes it.
func oid(s string) (uint32, bool) {
	n, err := strconv.ParseUint(s, 10, 32)
	return uint32(n), err == nil && n > 0 && s[0] != '0' && s[0] != '+'
}

// Catalogue is what a data directory has of relations, in the order in which it is read.
type Catalogue struct {
	Files   []File
	Skipped map[Reason]Skipped
	Notes   []Note // for what was left out, bounded
	pages   int64  // bytes of a page
}

// Note is one thing that is not verified.
type Note struct {
	Path   string `json:"path"` // below the data directory
	Reason Reason `json:"reason"`
	Detail string `json:"detail,omitempty"`
}

// maxNotes bounds what is listed one by one; the counts have all.
const maxNotes = 200

func (c *Catalogue) count(why Reason, size int64) {
	s := c.Skipped[why]
	s.Files++
	s.Blocks += size / c.pages
	c.Skipped[why] = s
}

func (c *Catalogue) skip(path string, size int64, why Reason, detail string) {
	c.count(why, size)
	if why != Unlogged && why != Temporary && len(c.Notes) < maxNotes {
		c.Notes = append(c.Notes, Note{path, why, detail})
	}
}

// order sorts the files, and leaves out unlogged relations but for what they are reset to.
func (c *Catalogue) order() {
	slices.SortFunc(c.Files, File.compare)
	unlogged := map[Relation]bool{}
	for _, f := range c.Files {
		if f.Fork == page.Init {
			unlogged[f.Relation] = true
		}
	}
	c.Files = slices.DeleteFunc(c.Files, func(f File) bool {
		out := unlogged[f.Relation] && f.Fork != page.Init
		if out {
			c.skip(f.Path, f.Size, Unlogged, "")
		}
		return out
	})
}

// Bytes is what the files have together.
func (c *Catalogue) Bytes() (n int64) {
	for _, f := range c.Files {
		n += f.Size
	}
	return n
}

// shapes finds segments that cannot be as they are: gaps, short ones before others, sizes that no page ends at. A server that drops or
// truncates a relation makes such shapes for a moment. An empty segment at the end is what a truncation leaves, and a part of a page there
// what an extension does that has failed.
func (c *Catalogue) shapes(segment int64) (found []Finding) {
	for from, to := 0, 0; from < len(c.Files); from = to {
		first := c.Files[from]
		last := from // the last one with content
		for to = from; to < len(c.Files) && c.Files[to].Relation == first.Relation && c.Files[to].Fork == first.Fork; to++ {
			if c.Files[to].Size > 0 {
				last = to
			}
		}
		expected := uint32(0)
		for _, f := range c.Files[from:to] {
			at := Block{f.Relation, f.Fork, uint32(int64(f.Segment) * segment / c.pages)}
			switch {
			case f.Segment == c.Files[last].Segment && f.partial(c.pages, segment):
			case f.Size > segment || f.Size%c.pages != 0:
				found = append(found, Finding{Block: at, Path: f.Path, Kind: OddSize,
					Detail: fmt.Sprintf("the file has %d bytes; a segment has %d at most, in pages of %d", f.Size, segment, c.pages)})
			case f.Segment < c.Files[last].Segment && f.Size < segment:
				found = append(found, Finding{Block: at, Path: f.Path, Kind: ShortSegment,
					Detail: fmt.Sprintf("the file has %d bytes of %d, and %s follows: %d pages are not there", f.Size, segment,
						c.Files[last].Path, (segment-f.Size)/c.pages)})
			}
			if f.Segment > expected && c.Files[last].Segment >= f.Segment && f.Size > 0 {
				found = append(found, Finding{Block: Block{f.Relation, f.Fork, uint32(int64(expected) * segment / c.pages)}, Path: f.Path,
					Kind: MissingSegment, Detail: fmt.Sprintf("%d segments before this file are not there", f.Segment-expected)})
			}
			expected = f.Segment + 1
		}
	}
	return found
}
