package main

import (
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"strings"
	"time"

	"mainstay/controller/identity"
)

// certificate is the part of a certificate that cert show prints. It never reads a key.
type certificate struct {
	File      string `json:"file"`
	Holder    string `json:"holder"`
	Addresses string `json:"addresses,omitempty"`
	Begins    string `json:"begins"`
	Ends      string `json:"ends"`
	Left      string `json:"left"`
	Serial    string `json:"serial"`
}

// certificates reads every certificate of a file.
func (p *program) certificates(file string, now time.Time) (all []certificate, err error) {
	data, err := p.read(file)
	if err != nil {
		return nil, err
	}
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
			return nil, fmt.Errorf("%s: %w; issue it again with `mainstay cert issue`", file, err)
		}
		all = append(all, describe(file, c, now))
	}
	if len(all) == 0 {
		return nil, fmt.Errorf("%s: holds no certificate; name a .crt file", file)
	}
	return all, nil
}

func describe(file string, c *x509.Certificate, now time.Time) certificate {
	holder := c.Subject.CommonName
	if id, err := identity.FromCertificate(c); err == nil {
		holder = id.String()
	} else if c.IsCA {
		holder += " (a CA)"
	}
	addresses := append([]string{}, c.DNSNames...)
	for _, ip := range c.IPAddresses {
		addresses = append(addresses, ip.String())
	}
	return certificate{
		File: file, Holder: holder, Addresses: strings.Join(addresses, ", "), Serial: c.SerialNumber.Text(16),
		Begins: c.NotBefore.UTC().Format(time.RFC3339), Ends: c.NotAfter.UTC().Format(time.RFC3339), Left: left(c.NotAfter, now),
	}
}
