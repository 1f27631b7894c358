package identity

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"math/big"
	"net/url"
	"os"
	"path/filepath"
	"time"

	"mainstay/controller/durable"
)

const (
	caDays = 30 * 365
	// backdate lets hosts whose clocks are behind use a new certificate at once.
	backdate = time.Hour
)

// InitCA makes the platform's CA in dir: ca.crt and ca.key (0600). It refuses to overwrite either, because all certificates issued so far
// would stop verifying.
func InitCA(dir, platform string) error {
	if !platformName.MatchString(platform) {
		return &RequestError{fmt.Errorf("make the CA: %q is not a platform name: want letters, digits and dashes, at most 63", platform)}
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return fmt.Errorf("make the CA: %w", err)
	}
	for _, name := range []string{caCertFile, caKeyFile} {
		if _, err := os.Lstat(filepath.Join(dir, name)); !errors.Is(err, fs.ErrNotExist) {
			return caExists(filepath.Join(dir, name))
		}
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return fmt.Errorf("make the CA: %w", err)
	}
	tmpl := caTemplate(platform, time.Now())
	der, err := x509.CreateCertificate(rand.Reader, tmpl, tmpl, key.Public(), key)
	if err != nil {
		return fmt.Errorf("make the CA: %w", err)
	}
	return writeCA(dir, der, key)
}

func caTemplate(platform string, now time.Time) *x509.Certificate {
	return &x509.Certificate{
		SerialNumber:          serial(),
		Subject:               pkix.Name{CommonName: "Mainstay CA of " + platform, Organization: []string{platform}},
		URIs:                  []*url.URL{{Scheme: scheme, Host: platform}},
		NotBefore:             now.Add(-backdate),
		NotAfter:              now.AddDate(0, 0, caDays),
		IsCA:                  true,
		BasicConstraintsValid: true,
		MaxPathLenZero:        true,
		KeyUsage:              x509.KeyUsageCertSign | x509.KeyUsageCRLSign,
	}
}

// writeCA writes the key first: a certificate without its key could issue nothing.
func writeCA(dir string, der []byte, key *ecdsa.PrivateKey) error {
	keyPEM, err := encodeKey(key)
	if err != nil {
		return fmt.Errorf("make the CA: %w", err)
	}
	for _, f := range []struct {
		name string
		data []byte
		mode os.FileMode
	}{{caKeyFile, keyPEM, keyMode}, {caCertFile, encodeCert(der), certMode}} {
		path := filepath.Join(dir, f.name)
		if err := durable.Create(path, f.data, f.mode); errors.Is(err, fs.ErrExist) {
			return caExists(path)
		} else if err != nil {
			return fmt.Errorf("make the CA: write %s: %w", path, err)
		}
	}
	return nil
}

func caExists(path string) error {
	return &FileError{Path: path, Problem: "a CA already exists there", Err: fs.ErrExist,
		Mend: "use it with `mainstay cert issue`, or choose another --ca folder; with a new CA no certificate issued so far would verify"}
}

// authority is a CA with its key.
type authority struct {
	cert     *x509.Certificate
	key      *ecdsa.PrivateKey
	platform string
}

// loadCA reads ca.crt and ca.key. Where ca.crt holds several certificates (a rotation), the one of the key signs.
func loadCA(dir string) (*authority, error) {
	certPath, keyPath := filepath.Join(dir, caCertFile), filepath.Join(dir, caKeyFile)
	certs, _, err := readCerts(certPath, "make a CA with `mainstay cert init`, or name its folder with --ca")
	if err != nil {
		return nil, err
	}
	data, err := readKey(keyPath)
	if err != nil {
		return nil, err
	}
	key, err := decodeKey(data)
	if err != nil {
		return nil, &FileError{Path: keyPath, Problem: "it does not hold an ECDSA key in PEM", Err: err,
			Mend: "restore it from its backup; without it no certificate can be issued"}
	}
	for _, c := range certs {
		if key.PublicKey.Equal(c.PublicKey) && c.IsCA && len(c.Subject.Organization) == 1 {
			return &authority{cert: c, key: key, platform: c.Subject.Organization[0]}, nil
		}
	}
	return nil, &FileError{Path: keyPath, Problem: "it is not the key of a CA certificate in " + certPath,
		Mend: "restore the ca.crt and ca.key that belong together"}
}

func encodeCert(der []byte) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
}

func encodeKey(key *ecdsa.PrivateKey) ([]byte, error) {
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return nil, err
	}
	return pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}), nil
}

func decodeKey(data []byte) (*ecdsa.PrivateKey, error) {
	block, _ := pem.Decode(data)
	if block == nil {
		return nil, errors.New("no PEM block")
	}
	k, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	if err != nil {
		return nil, err
	}
	key, ok := k.(*ecdsa.PrivateKey)
	if !ok {
		return nil, fmt.Errorf("a key of type %T", k)
	}
	return key, nil
}

// serial is a random positive number of 127 bits, never zero.
func serial() *big.Int {
	var b [16]byte
	if _, err := rand.Read(b[:]); err != nil {
		panic(err) // crypto/rand never fails on Linux
	}
	b[0] = b[0]&0x7f | 0x40
	return new(big.Int).SetBytes(b[:])
}
