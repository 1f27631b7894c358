package probe

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"syscall"
	"testing"

	"github.com/lib/pq"
	"github.com/lib/pq/pqerror"

	"mainstay/controller/pgdial"
)

func TestMeans(t *testing.T) {
	server := func(code pqerror.Code) error { return fmt.Errorf("as x: %w", &pq.Error{Code: code}) }
	for _, c := range []struct {
		name                      string
		err                       error
		lives, saturated, refused bool
	}{
		{"answered", nil, true, false, false},
		{"every slot taken", server("53300"), true, true, false},
		{"no line in pg_hba.conf", server("28000"), true, false, true},
		{"wrong password", server("28P01"), true, false, true},
		{"no such database", server("3D000"), true, false, true},
		{"no right to connect", server("42501"), true, false, true},
		{"a login trigger raises", server("P0001"), true, false, true},
		{"a login trigger writes on a standby", server("25006"), true, false, true},
		{"a login trigger finds no table", server("42P01"), true, false, true},
		{"starting", server("57P03"), false, false, false},
		{"stopping", server("57P01"), false, false, false},
		{"out of memory", server("53200"), false, false, false},
		{"no TLS", fmt.Errorf("x: %w", pgdial.ErrNoTLS), true, false, true},
		{"alert", &net.OpError{Op: "remote error", Err: errors.New("tls: unknown certificate authority")}, true, false, true},
		{"no listener", &net.OpError{Op: "dial", Err: errors.New("connection refused")}, false, false, false},
		{"no descriptor left here", &net.OpError{Op: "dial", Err: os.NewSyscallError("socket", syscall.EMFILE)}, false, false, false},
		{"hangs", context.DeadlineExceeded, false, false, false},
	} {
		a := means(c.err)
		if a.lives != c.lives || a.saturated != c.saturated || a.refused != c.refused {
			t.Errorf("%s: %+v", c.name, a)
		}
		if a.unable != (c.name == "no descriptor left here") {
			t.Errorf("%s: unable %v", c.name, a.unable)
		}
		if (a.lives && !a.saturated) == (a.text() != "") {
			t.Errorf("%s: lives %v with error %q", c.name, a.lives, a.text())
		}
	}
}
