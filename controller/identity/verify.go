package identity

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"slices"
	"strings"
	"time"
)

// want is the requirement for a peer's certificate. Name "" is any.
type want struct {
	roles []string
	name  string
}

func (w want) String() string {
	s := strings.Join(w.roles, " or ")
	if w.name != "" {
		s += " " + w.name
	}
	return s
}

// mend names the certificate that the peer should have had. Where several roles are allowed, it names none.
func (w want) mend(platform, presentedName string) string {
	role, name := "", w.name
	if len(w.roles) == 1 {
		role = w.roles[0]
	}
	if name == "" {
		name = presentedName
	}
	return "issue the peer's certificate with the CA of " + platform + ": " + issueCommand(role, name)
}

// verify checks a peer's certificate: chain, platform, role, name, revocation and, for people, dates.
func (s *Store) verify(cs tls.ConnectionState, w want) (ID, error) {
	m := s.held.Load()
	wanted := func() string { return w.String() + " of platform " + m.id.Platform }
	if len(cs.PeerCertificates) == 0 {
		return ID{}, &PeerError{Presented: "no certificate", Wanted: wanted(), Mend: w.mend(m.id.Platform, "")}
	}
	leaf := cs.PeerCertificates[0]
	id, err := FromCertificate(leaf)
	if err != nil {
		return ID{}, &PeerError{Presented: "a certificate not of Mainstay", Wanted: wanted(), Mend: w.mend(m.id.Platform, ""), Err: err}
	}
	if err := m.signed(leaf, id, s.now()); err != nil {
		return ID{}, &PeerError{Presented: id.String() + ", but " + describe(err, leaf, s.files.CA, s.now()), Wanted: wanted(),
			Mend: s.mend(m.id, w, id, err), Err: err}
	}
	if m.revoked[leaf.SerialNumber.Text(16)] {
		return ID{}, &PeerError{Presented: id.String() + ", whose serial " + leaf.SerialNumber.Text(16) + " is revoked", Wanted: wanted(),
			Mend: w.mend(m.id.Platform, id.Name)}
	}
	if id.Platform != m.id.Platform || !slices.Contains(w.roles, id.Role) || w.name != "" && w.name != id.Name {
		return ID{}, &PeerError{Presented: id.String(), Wanted: wanted(), Mend: s.mend(m.id, w, id, nil)}
	}
	return id, nil
}

// mend is the next step on this side, because the cause may be its own files or the address that it chose.
func (s *Store) mend(own ID, w want, peer ID, err error) string {
	issue := w.mend(own.Platform, peer.Name)
	switch {
	case peer.Platform != own.Platform:
		return "that is platform " + peer.Platform + ", but " + s.files.Cert + " and " + s.files.CA + " are of platform " + own.Platform +
			": use the certificate, key and CA of " + peer.Platform + ", or connect to " + own.Platform
	case foreign(err):
		return "if " + s.files.CA + " is not the CA that this platform's peers have, name theirs; if it is, " + issue
	case err == nil:
		return "if that is the right address, " + issue
	}
	return issue
}

// signed returns nil if a trusted CA has signed the certificate. Each request calls it: for a dateless role the answer stays the same for
// this material, and is stored.
func (m *material) signed(leaf *x509.Certificate, id ID, now time.Time) error {
	raw := string(leaf.Raw)
	if _, known := m.good.Load(raw); known {
		return nil
	}
	_, err := signer(leaf, id, m.cas, now)
	if err == nil && id.dateless() {
		m.good.Store(raw, nil)
	}
	return err
}

// signer returns the CA that signed the certificate. For people both must be valid now; for dateless roles the chain is checked at the
// moment nearest to now at which both were valid, so that neither an old certificate, an old CA, nor a clock reset to 1970 stops a
// database.
func signer(leaf *x509.Certificate, id ID, cas []*x509.Certificate, now time.Time) (*x509.Certificate, error) {
	err := errNoSigner
	for _, ca := range cas {
		at := now
		if id.dateless() {
			at = clamp(now, later(leaf.NotBefore, ca.NotBefore), earlier(leaf.NotAfter, ca.NotAfter))
		}
		roots := x509.NewCertPool()
		roots.AddCert(ca)
		_, verr := leaf.Verify(x509.VerifyOptions{Roots: roots, CurrentTime: at,
			KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}})
		if verr == nil {
			return ca, nil
		}
		// Of several CAs, the error of the CA that signed it is the useful one.
		if leaf.CheckSignatureFrom(ca) == nil || len(cas) == 1 {
			err = verr
		}
	}
	return nil, err
}

// describe tells an operator why the chain is not valid.
func describe(err error, leaf *x509.Certificate, caPath string, now time.Time) string {
	var invalid x509.CertificateInvalidError
	if errors.As(err, &invalid) && invalid.Reason == x509.Expired {
		switch {
		case now.After(leaf.NotAfter):
			return "it ended on " + leaf.NotAfter.UTC().Format(time.RFC3339)
		case now.Before(leaf.NotBefore):
			return "it begins only at " + leaf.NotBefore.UTC().Format(time.RFC3339) + " (check this host's clock)"
		}
		return "the CA that signed it is past its date"
	}
	return "it was not signed by a CA in " + caPath
}

func clamp(t, from, to time.Time) time.Time {
	if t.After(to) {
		t = to
	}
	if t.Before(from) {
		t = from
	}
	return t
}

func later(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}
