package compare

import (
	"context"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"mainstay/controller/platform"
	"mainstay/health"
	"mainstay/health/integrity"
	"mainstay/health/integrity/page"
)

// Told is a Member whose agent can be told that a page of another member was mended, named as in Again.
type Told interface {
	Mended(ctx context.Context, page string)
}

// Again looks once more at pages that a comparison has found, named as Comparison.Accuses names them, and says of each whether the first
// member has another one than the primary. paused: the first member's replay is paused. The errors are those of Run.
func Again(ctx context.Context, members []Member, pages []string, paused bool, o Options) ([]health.FrozenPage, error) {
	r := newRun(members, o)
	if len(members) < 2 {
		return nil, ErrOneMember
	}
	defer r.end(ctx)
	if _, err := r.list(ctx); err != nil {
		return nil, err
	}
	primary := slices.IndexFunc(r.data, func(d Data) bool { return d.Primary })
	if primary < 1 || r.names[0] != members[0].Name() {
		return nil, fmt.Errorf("%s and its primary were not both read", members[0].Name())
	}
	r.known(ctx)
	found := make([]health.FrozenPage, len(pages))
	var b batch
	var of []int // which page each extent is
	for n, name := range pages {
		at, err := BlockOf(name)
		if found[n].Page = name; err != nil {
			found[n].Detail = err.Error()
			continue
		}
		b.extents, b.blocks, of = append(b.extents, r.extent(at, 1)), b.blocks+1, append(of, n)
	}
	if len(of) == 0 {
		return found, nil
	}
	err := r.look(ctx, b, func(_ integrity.Block, s []page.Summary, redo []platform.LSN) {
		one := &found[of[0]]
		of = of[1:]
		h := min(redo[0], redo[primary])
		one.Differs, one.Same, one.Detail = againText(s[0], s[primary], h, paused, r.names[primary])
	})
	return found, err
}

// againText says what two pages are to each other. That a comparison has found them settled is known.
func againText(own, primary page.Summary, h platform.LSN, paused bool, of string) (differs, same bool, text string) {
	switch o := page.Compare(own, primary, page.Horizon{LSN: h, Seen: h}); o.Verdict {
	case page.Differs:
		return true, false, "it still has another page than " + of
	case page.Equal:
		if !paused {
			return false, true, "it has the page of " + of
		}
		return false, true, "it has the page of " + of + " by now: the pause came too late, or that page was mended"
	default:
		if paused && own.LSN < primary.LSN {
			return true, false, fmt.Sprintf("it has an older page than %s, which has changed its own since", of)
		}
		return false, false, "nothing can be told: " + o.Detail
	}
}

var pageName = regexp.MustCompile(`^(global|base/(\d+)|pg_tblspc/(\d+)/[^/]+/(\d+))/(\d+)(?:_([a-z]+))? block (\d+)$`)

// PageName is how a comparison names a block.
func PageName(b integrity.Block) string { return fmt.Sprintf("%s block %d", pathOf(b), b.Number) }

// BlockOf is the block that a comparison names so: the path of a file and a number, without its kind.
func BlockOf(name string) (b integrity.Block, err error) {
	m := pageName.FindStringSubmatch(name)
	if m == nil {
		return b, fmt.Errorf("%q is no page", name)
	}
	number := func(text string) (n uint32) {
		v, e := strconv.ParseUint("0"+text, 10, 32)
		if e != nil {
			err = fmt.Errorf("%q is no page: %w", name, e)
		}
		return uint32(v)
	}
	b.Node, b.Number = number(m[5]), number(m[7])
	switch {
	case m[1] == "global":
		b.Space = integrity.GlobalSpace
	case strings.HasPrefix(m[1], "base/"):
		b.Space, b.Database = integrity.DefaultSpace, number(m[2])
	default:
		b.Space, b.Database = number(m[3]), number(m[4])
	}
	fork, known := page.ForkOf(m[6])
	if b.Fork = fork; !known {
		return b, fmt.Errorf("%q has no fork that is known", name)
	}
	return b, err
}
