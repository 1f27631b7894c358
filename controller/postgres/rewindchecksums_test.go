package postgres

import (
	"errors"
	"path/filepath"
	"strings"
	"testing"

	"mainstay/test/kit"
)

// TestRewindOfOtherChecksums: data without checksums is not mixed with pages of a source that has them.
func TestRewindOfOtherChecksums(t *testing.T) {
	a, b := diverged(t)
	ctx, took := testContext(t), counted(t, b, a)
	c, err := a.ControlData(ctx)
	check(t, err)
	if !c.Clean() {
		check(t, a.recoverInPlace(ctx, StartOptions{})) // pg_checksums wants that
	}
	_, err = a.run(ctx, "pg_checksums", "--disable", "-D", a.Data)
	check(t, err)
	if err := a.Rewind(ctx, b.source(), StartOptions{}); !errors.Is(err, ErrChecksumsDiffer) || exists(a.rewindMark()) {
		t.Fatalf("without checksums: %v", err)
	}
	_, err = a.run(ctx, "pg_checksums", "--enable", "-D", a.Data)
	check(t, err)
	check(t, a.Rewind(ctx, b.source(), StartOptions{}))
	start(t, a, false)
	streams(t, a)
	took("the rewind", kit.Work{Starts: 2}) // its recovery in place, and as a standby
}

// TestRewindFailsElsewhere: a source that does not answer, and a host that does not let the data's recovery begin, say nothing about the
// data.
func TestRewindFailsElsewhere(t *testing.T) {
	a, b := diverged(t)
	ctx, took := testContext(t), counted(t, b, a)
	conf := filepath.Join(a.Data, "postgresql.conf")
	before := content(t, conf)
	put(t, conf, before+"shared_preload_libraries = 'no_such_library'\n")
	elsewhere := func(want string) {
		t.Helper()
		err := a.Rewind(ctx, b.source(), StartOptions{})
		if e := (*ElsewhereError)(nil); !errors.As(err, &e) || !strings.Contains(err.Error(), want) || exists(a.rewindMark()) {
			t.Errorf("%v, want %q", err, want)
		}
	}
	elsewhere(`could not access file "no_such_library"`)
	put(t, conf, before)
	stop(t, b)
	elsewhere("its data_checksums")
	start(t, b, true)
	check(t, a.Rewind(ctx, b.source(), StartOptions{}))
	start(t, a, false)
	streams(t, a)
	took("the rewinds", kit.Work{Starts: 3}) // the source, its recovery in place, and as a standby
}
