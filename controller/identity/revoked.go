package identity

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"math/big"
	"os"
	"strings"
)

// readRevoked reads the list of revoked serial numbers: one in hexadecimal on each line, colons allowed as openssl prints them; '#' begins
// a comment. A missing file revokes nothing; an invalid line is an error, because skipping it would accept a stolen key.
func readRevoked(path string) (map[string]bool, error) {
	data, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, unreadable(path, err)
	}
	revoked := map[string]bool{}
	lines := bufio.NewScanner(bytes.NewReader(data))
	for n := 1; lines.Scan(); n++ {
		text, _, _ := strings.Cut(lines.Text(), "#")
		text = strings.ReplaceAll(strings.TrimSpace(text), ":", "")
		if text == "" {
			continue
		}
		serial, ok := new(big.Int).SetString(text, 16)
		if !ok || serial.Sign() <= 0 {
			return nil, &FileError{Path: path, Problem: fmt.Sprintf("line %d: %q is not a serial number", n, text),
				Mend: "write one hexadecimal serial on each line, as `openssl x509 -serial -noout` prints it"}
		}
		revoked[serial.Text(16)] = true
	}
	if err := lines.Err(); err != nil {
		return nil, unreadable(path, err)
	}
	return revoked, nil
}
