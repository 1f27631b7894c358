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

// user is the account of the controllers' probes, on clusters that Mainstay initialised.
const user = "mainstay_probe"

// answer is the result of one probe.
type answer struct {
	lives     bool // a postmaster took a new connection and answered on it
	saturated bool // it answered that no connection slot is free
	refused   bool // it refused the probe's login
	unable    bool // this controller could not probe
	role      health.Role
	err       error // its error instead of its role, or why it does not count as alive
}

func (a answer) text() string {
	if a.err == nil {
		return ""
	}
	return a.err.Error()
}

// ask makes one probe, within the target's limit whatever the server does. quiet: it only greets the server.
func (p *Prober) ask(ctx context.Context, t Target, quiet bool) answer {
	ctx, cancel := context.WithTimeout(ctx, t.Limit)
	defer cancel()
	secure, ours := p.secure()
	cfg := pgdial.Config{Host: t.Host, Port: t.Port, User: user, Application: "mainstay-controller", Secure: secure,
		Runtime: pgdial.Sessions(0, false)} // no user's function is ever called, except by a login trigger
	if quiet {
		secure.GetClientCertificate = noCertificate
		return means(pgdial.Greet(ctx, cfg))
	}
	var standby bool
	a := means(pgdial.WithConn(ctx, cfg, func(c *sql.Conn) error {
		return c.QueryRowContext(ctx, "SELECT pg_is_in_recovery()").Scan(&standby)
	}))
	switch {
	case !a.lives || a.refused || a.saturated || !*ours: // a role counts only with a member's certificate
	case standby:
		a.role = health.RoleStandby
	default:
		a.role = health.RolePrimary
	}
	return a
}

// noCertificate presents none: a server that does not trust this controller's would log each one.
func noCertificate(*tls.CertificateRequestInfo) (*tls.Certificate, error) {
	return &tls.Certificate{}, nil
}

// secure is the TLS configuration of one probe; ours is set in its handshake if the server presents a member's certificate of this
// platform. Any other certificate is accepted too: adopted clusters have their own, a probe carries no secret, and a false answer
// can only prevent an inference.
func (p *Prober) secure() (config *tls.Config, ours *bool) {
	ours = new(bool)
	config = p.tls.Clone()
	verify := config.VerifyConnection
	config.InsecureSkipVerify = true // VerifyConnection below verifies the certificate
	config.VerifyConnection = func(cs tls.ConnectionState) error {
		*ours = verify != nil && verify(cs) == nil
		return nil
	}
	return config, ours
}

// means turns the end of a probe into evidence. A server may have no account for the probe: an adopted one, one without TLS, or a
// version that cannot identify controllers by certificate. Its refusal is still the answer of a living postmaster, so it
// counts, with the role unknown. So does an error of a login trigger, which a probe cannot avoid: class P0 is the trigger's own,
// 25006 a write on a standby, class 42 a missing right or object. A server that is starting or stopping serves no client, so its
// refusal does not count.
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
	case errors.As(err, &remote) && remote.Op == "remote error": // a TLS alert: it does not accept this controller's certificate
		return answer{lives: true, refused: true}
	}
	return answer{unable: process.Starved(err), err: err}
}
