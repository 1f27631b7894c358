package pg

import (
	"errors"
	"fmt"
	"os"
	"testing"

	"mainstay/controller/postgres"
	"mainstay/test/damage"
	"mainstay/test/kit"
)

// Version is one version of PostgreSQL for a test: its programs, the user to run servers as, and a short folder that this user may enter,
// which is removed with the test.
type Version struct {
	Programs postgres.Binaries
	Owner    postgres.Owner
	Dir      string
}

// Versions runs a test on each version that damage.Installations names. It is skipped where PostgreSQL is missing, unless MAINSTAY_NEED_PG
// is set.
func Versions(t *testing.T, test func(*testing.T, Version)) {
	t.Helper()
	all, err := damage.Installations()
	if missing := (*postgres.BinariesError)(nil); errors.As(err, &missing) && os.Getenv("MAINSTAY_NEED_PG") == "" {
		t.Skip(err)
	}
	kit.Check(t, err)
	for _, b := range all {
		t.Run(fmt.Sprint(b.Major), func(t *testing.T) {
			dir := kit.Must[string](t)(os.MkdirTemp("", "mst"))
			kit.Check(t, os.Chmod(dir, 0o755))
			t.Cleanup(func() {
				if err := os.RemoveAll(dir); err != nil {
					t.Error(err)
				}
			})
			test(t, Version{Programs: b, Owner: kit.Must[postgres.Owner](t)(damage.TestOwner()), Dir: dir})
		})
	}
}
