package probe

import (
	"context"
	"crypto/tls"
	"database/sql"
	"errors"
	"net"
	"strings"

	"mainstay/controller/pgdial"
	"mainstay/fencing/process"
	"mainstay/health"
)

// user is the account controllers probe as, on clusters that Mainstay initialised.
const user = "mainstay_probe"

// answer is what one probe learned.
type answer struct {
	lives     bool // a postmaster took a new connection and answered on it
	saturated bool // ... to say that it has no slot left
	refused   bool // ... and does not let the probe in
	unable    bool // this controller could not ask
	role      health.Role
	err       error // what it answered in place of its role, or why it does not count as living
}

func (a answer) text() string {
	if a.err == nil {
		return ""
	}
	return a.err.Error()
}

// ask makes one probe, within the target's limit whatever the server does.
func (p *Prober) ask(ctx context.Context, t Target, quiet bool) answer {
	ctx, cancel := context.WithTimeout(ctx, t.Limit)
	defer cancel()
	secure, ours := p.secure()
	cfg := pgdial.Config{Host: t.Host, Port: t.Port, User: user, Application: "mainstay-controller", Secure: secure,
		Runtime: pgdial.Sessions(0, false)} // no user's function is ever called, but by a login trigger
	if quiet {
		secure.GetClientCertificate = noCertificate
		return means(pgdial.Greet(ctx, cfg))
	}
	var standby bool
	a := means(pgdial.WithConn(ctx, cfg, func(c *sql.Conn) error {
		return c.QueryRowContext(ctx, "SELECT pg_is_in_recovery()").Scan(&standby)
	}))
	switch {
	case !a.lives || a.refused || a.saturated || !*ours: // a stranger's word is no role
	case standby:
		a.role = health.RoleStandby
	default:
		a.role = health.RolePrimary
	}
	return a
}

// noCertificate shows none: a server that does not trust ours would log each one.
func noCertificate(*tls.CertificateRequestInfo) (*tls.Certificate, error) {
	return &tls.Certificate{}, nil
}

// secure is the TLS of one probe; ours is set in its handshake, if the server shows a member's certificate of this platform.
// Any other certificate passes as well: adopted clusters have their own, a probe carries no secret, and a false answer can
// only hold an inference back.
func (p *Prober) secure() (config *tls.Config, ours *bool) {
	ours = new(bool)
	config = p.tls.Clone()
	verify := config.VerifyConnection
	config.InsecureSkipVerify = true // verify says below what the certificate is worth
	config.VerifyConnection = func(cs tls.ConnectionState) error {
		*ours = verify != nil && verify(cs) == nil
		return nil
	}
	return config, ours
}

// means turns how a probe ended into evidence. An adopted cluster has no account for it, nor has one without TLS or of a
// version that cannot tell controllers by their certificates: to be turned away there, by name, is still the answer of a
// living postmaster, so it counts, with the role unknown. So is what a login trigger says, which a probe cannot leave out: class P0
// is its own word, 25006 that it writes on a standby, class 42 that it may not, or does not find what it names. A server that is
// starting or stopping serves nobody, and does not.
func means(err error) answer {
	code := pgdial.SQLState(err)
	var remote *net.OpError
	switch {
	case err == nil:
		return answer{lives: true}
	case code == pgdial.TooManyConnections:
		return answer{lives: true, saturated: true, err: err}
	case strings.HasPrefix(code, "28"), code == "3D000", code == "42501": // authentication, no such database, no right to connect
		return answer{lives: true, refused: true}
	case strings.HasPrefix(code, "P0"), strings.HasPrefix(code, "42"), code == "25006": // a login trigger
		return answer{lives: true, refused: true}
	case errors.Is(err, pgdial.ErrNoTLS):
		return answer{lives: true, refused: true}
	case errors.As(err, &remote) && remote.Op == "remote error": // a TLS alert: it does not take our certificate
		return answer{lives: true, refused: true}
	}
	return answer{unable: process.Starved(err), err: err}
}
