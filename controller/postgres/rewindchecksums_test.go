package postgres

import (
	"errors"
	"mainstay/test/kit"
	"testing"
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
