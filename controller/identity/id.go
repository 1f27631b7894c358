package identity

import (
	"crypto/x509"
	"fmt"
	"net/url"
	"regexp"
	"strings"
)

// The roles a certificate may carry.
const (
	RoleController = "controller"
	RoleAgent      = "agent"
	RoleOperator   = "operator" // a person who may change the platform
	RoleViewer     = "viewer"   // a person or a tool that may only read
	RolePostgres   = "postgres" // a member's PostgreSQL, as server and as replication client
)

// ReplicationUser is the common name of every certificate of role postgres: PostgreSQL's cert authentication takes the database role from
// it.
const ReplicationUser = "mainstay_replication"

const scheme = "mainstay"

var (
	roles        = []string{RoleController, RoleAgent, RoleOperator, RoleViewer, RolePostgres}
	platformName = regexp.MustCompile(`^[A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?$`) // a URI host
	holderName   = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._-]{0,62}$`)             // a path segment and a file name
)

// ID is the identity of a certificate's holder.
type ID struct{ Platform, Role, Name string }

// String is the certificate's URI: mainstay://social/controller/c1.
func (id ID) String() string {
	return scheme + "://" + id.Platform + "/" + id.Role + "/" + id.Name
}

func (id ID) uri() *url.URL {
	return &url.URL{Scheme: scheme, Host: id.Platform, Path: "/" + id.Role + "/" + id.Name}
}

// check returns the fault of an ID, or nil.
func (id ID) check() error {
	if !platformName.MatchString(id.Platform) {
		return fmt.Errorf("%q is not a platform name: want letters, digits and dashes, at most 63", id.Platform)
	}
	if !known(id.Role) {
		return fmt.Errorf("%q is not a role: want one of %s", id.Role, strings.Join(roles, ", "))
	}
	if !holderName.MatchString(id.Name) {
		return fmt.Errorf("%q is not a name for a certificate: want letters, digits, '.', '_' and '-', at most 63, "+
			"beginning with a letter or digit", id.Name)
	}
	return nil
}

// dateless tells whether a certificate of this role still verifies past its date: a date never stops a database.
func (id ID) dateless() bool { return id.Role == RoleController || id.Role == RoleAgent }

// FromCertificate reads the ID from the certificate's only mainstay:// URI. It does not verify the certificate.
func FromCertificate(c *x509.Certificate) (ID, error) {
	var found []*url.URL
	for _, u := range c.URIs {
		if u.Scheme == scheme {
			found = append(found, u)
		}
	}
	if len(found) != 1 {
		return ID{}, fmt.Errorf("certificate %q has %d mainstay:// URIs, want exactly one", c.Subject.CommonName, len(found))
	}
	parts := strings.Split(found[0].Path, "/")
	if len(parts) != 3 {
		return ID{}, fmt.Errorf("certificate URI %q is not of the form mainstay://platform/role/name", found[0])
	}
	id := ID{Platform: found[0].Host, Role: parts[1], Name: parts[2]}
	if err := id.check(); err != nil {
		return ID{}, fmt.Errorf("certificate URI %q: %w", found[0], err)
	}
	if id.String() != found[0].String() {
		return ID{}, fmt.Errorf("certificate URI %q is not of the form mainstay://platform/role/name", found[0])
	}
	return id, nil
}

func known(role string) bool {
	for _, r := range roles {
		if r == role {
			return true
		}
	}
	return false
}
