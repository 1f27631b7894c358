package identity

import (
	"crypto/x509"
	"errors"
	"fmt"
)

// FileError is returned when a file of certificates or keys cannot be used. Mend is the next step for the operator.
type FileError struct {
	Path    string
	Problem string
	Mend    string
	Err     error // nil, or the cause
}

func (e *FileError) Error() string {
	return e.Path + ": " + e.Problem + cause(e.Err) + "; " + e.Mend
}

func (e *FileError) Unwrap() error { return e.Err }

// PeerError is returned when the peer's certificate is not the wanted one.
type PeerError struct {
	Presented string // content of the certificate
	Wanted    string // the required content
	Mend      string // the next step for the operator
	Err       error  // nil, or the cause
}

func (e *PeerError) Error() string { return e.What() + "; " + e.Mend }

// What returns the error without the next step.
func (e *PeerError) What() string {
	return "peer presented " + e.Presented + ", wanted " + e.Wanted + cause(e.Err)
}

func (e *PeerError) Unwrap() error { return e.Err }

// cause adds the underlying error, unless the problem covers it: x509's error for a foreign CA only adds guesses.
func cause(err error) string {
	if err == nil || foreign(err) {
		return ""
	}
	return " (" + err.Error() + ")"
}

// errNoSigner is returned where none of several CAs has signed a certificate.
var errNoSigner = errors.New("no CA certificate")

// foreign tells whether the error is that no trusted CA has signed the certificate.
func foreign(err error) bool {
	unknown := x509.UnknownAuthorityError{}
	return errors.As(err, &unknown) || errors.Is(err, errNoSigner)
}

// issueCommand is the command that makes the wanted certificate. Unknown words are in capitals.
func issueCommand(role, name string) string {
	if role == "" {
		role = "ROLE"
	}
	if name == "" {
		name = "NAME"
	}
	s := fmt.Sprintf("mainstay cert issue --role %s --name %s", role, name)
	switch role {
	case RoleController, RoleAgent, RolePostgres:
		s += " --address ADDRESS"
	}
	return "`" + s + "`"
}
