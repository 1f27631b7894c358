package identity

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"fmt"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"time"

	"mainstay/controller/durable"
)

// Request asks for one certificate.
type Request struct {
	Role string
	Name string
	// Addresses are the IP addresses and DNS names of the holder, without ports. Only controllers, agents and postgres have any, and
	// postgres needs one: PostgreSQL's sslmode=verify-full compares them.
	Addresses []string
	// Days until the certificate ends; 0 is the role's default: 365 for people, 3650 for controllers and agents, 7300 for
	// postgres, whose dates PostgreSQL itself enforces.
	Days int
}

// RequestError is returned when the request is not for a valid certificate of Mainstay; nothing was written.
type RequestError struct{ Err error }

func (e *RequestError) Error() string { return e.Err.Error() }
func (e *RequestError) Unwrap() error { return e.Err }

var dnsName = regexp.MustCompile(`^([A-Za-z0-9_]([A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?\.)*[A-Za-z0-9_]([A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?$`)

// Issue makes a key, signs its certificate by the CA in caDir, and writes <role>-<name>.crt and .key (0600) to outDir, replacing older
// ones; it returns the paths written. Each file is replaced in one step, the key first: a Reload between the two fails and keeps the old
// certificate.
func Issue(caDir, outDir string, r Request) ([]string, error) {
	ca, err := loadCA(caDir)
	if err != nil {
		return nil, err
	}
	what := fmt.Sprintf("issue a certificate for %s %s", r.Role, r.Name)
	tmpl, err := leafTemplate(ca, r, time.Now())
	if err != nil {
		return nil, fmt.Errorf("%s: %w", what, err)
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", what, err)
	}
	der, err := x509.CreateCertificate(rand.Reader, tmpl, ca.cert, key.Public(), ca.key)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", what, err)
	}
	keyPEM, err := encodeKey(key)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", what, err)
	}
	if err := os.MkdirAll(outDir, 0o700); err != nil {
		return nil, fmt.Errorf("%s: %w", what, err)
	}
	base := filepath.Join(outDir, r.Role+"-"+r.Name)
	if err := durable.WriteShared(base+".key", keyPEM, keyMode); err != nil {
		return nil, fmt.Errorf("%s: write %s.key: %w", what, base, err)
	}
	if err := durable.WriteShared(base+".crt", encodeCert(der), certMode); err != nil {
		return nil, fmt.Errorf("%s: write %s.crt: %w", what, base, err)
	}
	return []string{base + ".crt", base + ".key"}, nil
}

func leafTemplate(ca *authority, r Request, now time.Time) (*x509.Certificate, error) {
	id := ID{Platform: ca.platform, Role: r.Role, Name: r.Name}
	if err := id.check(); err != nil {
		return nil, &RequestError{err}
	}
	if now.After(ca.cert.NotAfter) {
		return nil, fmt.Errorf("the CA itself ended on %s; make a new one with `mainstay cert init` in another folder, and put both "+
			"certificates into every ca.crt until all are re-issued", ca.cert.NotAfter.Format(time.DateOnly))
	}
	ips, names, err := addresses(r)
	if err != nil {
		return nil, &RequestError{err}
	}
	days, err := validity(r)
	if err != nil {
		return nil, &RequestError{err}
	}
	return &x509.Certificate{
		SerialNumber: serial(),
		// The unit is for PostgreSQL, which maps accounts by the subject and does not read URIs.
		Subject:     pkix.Name{CommonName: commonName(id), Organization: []string{id.Platform}, OrganizationalUnit: []string{id.Role}},
		URIs:        []*url.URL{id.uri()},
		IPAddresses: ips,
		DNSNames:    names,
		NotBefore:   now.Add(-backdate),
		NotAfter:    now.AddDate(0, 0, days),
		KeyUsage:    x509.KeyUsageDigitalSignature,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
	}, nil
}

func commonName(id ID) string {
	if id.Role == RolePostgres {
		return ReplicationUser
	}
	return id.Name
}

func addresses(r Request) (ips []net.IP, names []string, err error) {
	switch r.Role {
	case RoleController, RoleAgent:
	case RolePostgres:
		if len(r.Addresses) == 0 {
			return nil, nil, fmt.Errorf("a certificate of role postgres needs the member's address: add --address ADDRESS")
		}
	default:
		if len(r.Addresses) > 0 {
			return nil, nil, fmt.Errorf("a certificate of role %s has no addresses: remove --address", r.Role)
		}
	}
	for _, a := range r.Addresses {
		if ip := net.ParseIP(a); ip != nil {
			ips = append(ips, ip)
		} else if len(a) <= 253 && dnsName.MatchString(a) {
			names = append(names, a)
		} else {
			return nil, nil, fmt.Errorf("%q is not an address: want an IP address or a DNS name, without a port", a)
		}
	}
	return ips, names, nil
}

func validity(r Request) (int, error) {
	switch {
	case r.Days < 0 || r.Days > caDays:
		return 0, fmt.Errorf("--days %d: want 1 to %d", r.Days, caDays)
	case r.Days > 0:
		return r.Days, nil
	case r.Role == RolePostgres:
		return 20 * 365, nil
	case ID{Role: r.Role}.dateless():
		return 10 * 365, nil
	}
	return 365, nil
}
