package postgres

import (
	"errors"
	"testing"
)

// TestRewindOfOtherChecksums: data without checksums is not mixed with pages of a source that has them.
func TestRewindOfOtherChecksums(t *testing.T) {
	a, b := diverged(t)
	ctx := testContext(t)
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
}
