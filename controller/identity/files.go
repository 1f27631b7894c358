package identity

import (
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"os"
)

const (
	caCertFile  = "ca.crt"
	caKeyFile   = "ca.key"
	revokedFile = "revoked"

	certMode = 0o644
	keyMode  = 0o600
)

// readKey reads a private key's PEM and refuses a key that others may read or write. It accepts group-readable (0640): PostgreSQL's
// packages keep keys that way.
func readKey(path string) ([]byte, error) {
	fi, err := os.Stat(path)
	if err != nil {
		return nil, unreadable(path, err)
	}
	if mode := fi.Mode().Perm(); mode&0o037 != 0 {
		return nil, &FileError{Path: path, Problem: fmt.Sprintf("other users may access the key (mode %04o)", mode),
			Mend: fmt.Sprintf("run `chmod 600 %s`, and issue a new one if others may have read it", path)}
	}
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, unreadable(path, err)
	}
	return data, nil
}

// readCerts reads all certificates of a PEM file; at least one.
func readCerts(path, mend string) ([]*x509.Certificate, []byte, error) {
	data, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil, &FileError{Path: path, Problem: "there is no such file", Err: err, Mend: mend + ", or correct the path"}
	}
	if err != nil {
		return nil, nil, unreadable(path, err)
	}
	var certs []*x509.Certificate
	for rest := data; ; {
		var block *pem.Block
		if block, rest = pem.Decode(rest); block == nil {
			break
		}
		if block.Type != "CERTIFICATE" {
			continue
		}
		c, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			return nil, nil, &FileError{Path: path, Problem: "a certificate in it is damaged", Mend: mend, Err: err}
		}
		certs = append(certs, c)
	}
	if len(certs) == 0 {
		return nil, nil, &FileError{Path: path, Problem: "it holds no PEM certificate", Mend: mend}
	}
	return certs, data, nil
}

func unreadable(path string, err error) error {
	return &FileError{Path: path, Problem: "cannot be read", Err: err,
		Mend: "check the path in the local configuration file and the file's owner"}
}
