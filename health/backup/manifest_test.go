package backup

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"mainstay/test/kit"
)

// manifestOf writes a manifest as PostgreSQL does, with its own checksum.
func manifestOf(t *testing.T, body string) *os.File {
	t.Helper()
	body += "\n"
	sum := sha256.Sum256([]byte(body))
	return fileOf(t, body+manifestTail+hex.EncodeToString(sum[:])+"\"}\n")
}

func fileOf(t *testing.T, text string) *os.File {
	t.Helper()
	path := filepath.Join(t.TempDir(), "m")
	kit.Check(t, os.WriteFile(path, []byte(text), 0o600))
	f := kit.Must[*os.File](t)(os.Open(path))
	t.Cleanup(func() { f.Close() })
	return f
}

const (
	manifestHead   = `{ "PostgreSQL-Backup-Manifest-Version": 2,` + "\n" + `"System-Identifier": 7479513402211111111,` + "\n" + `"Files": [`
	manifestRanges = `],` + "\n" + `"WAL-Ranges": [{ "Timeline": 2, "Start-LSN": "0/3000000", "End-LSN": "0/3000100" },` +
		`{ "Timeline": 1, "Start-LSN": "0/2000028", "End-LSN": "0/3000000" }],`
)

func TestManifest(t *testing.T) {
	hello := sha256.Sum256([]byte("hello"))
	f := manifestOf(t, manifestHead+`{ "Path": "a", "Size": 5, "Last-Modified": "2026-11-30 12:00:00 GMT", `+
		`"Checksum-Algorithm": "SHA256", "Checksum": "`+hex.EncodeToString(hello[:])+`" }, { "Encoded-Path": "ff41", "Size": 9, `+
		`"Checksum-Algorithm": "CRC32C", "Checksum": "839206e3" },`+
		`{ "Path": "none", "Size": 0 }`+manifestRanges)
	m := kit.Must[*manifest](t)(readManifest(f))
	if m.SystemID != "7479513402211111111" || m.Bytes != 14 || len(m.Files) != 3 || m.end().Timeline != 2 || m.start() != 0x2000028 {
		t.Errorf("%+v", m)
	}
	for name, text := range map[string]string{"a": "hello", "\xffA": "123456789", "none": ""} {
		v := m.verifier(name)
		fmt.Fprint(v, text)
		if fault := v.fault(); fault != "" {
			t.Errorf("%q %s", name, fault)
		}
		fmt.Fprint(v, "x")
		if fault := v.fault(); !strings.Contains(fault, "bytes") {
			t.Errorf("%q is too long: %q", name, fault)
		}
	}
	v := m.verifier("a")
	fmt.Fprint(v, "hellO")
	if fault := v.fault(); !strings.Contains(fault, "SHA256") {
		t.Errorf("another content: %q", fault)
	}
	if m.verifier("b") != nil || len(m.missing()) != 0 {
		t.Errorf("%v", m.missing())
	}
}

func TestDamagedManifest(t *testing.T) {
	file := `{ "Path": "a", "Size": 5 }`
	for name, f := range map[string]*os.File{
		"empty":          fileOf(t, ""),
		"no checksum":    fileOf(t, manifestHead+file+manifestRanges+"\n"),
		"other checksum": fileOf(t, manifestHead+file+manifestRanges+"\n"+manifestTail+strings.Repeat("0", 64)+"\"}\n"),
		"cut off":        fileOf(t, "\n"+manifestTail),
		"version":        manifestOf(t, `{ "PostgreSQL-Backup-Manifest-Version": 3, "Files": [`+file+manifestRanges),
		"twice":          manifestOf(t, manifestHead+file+","+file+manifestRanges),
		"no size":        manifestOf(t, manifestHead+`{ "Path": "a" }`+manifestRanges),
		"unknown algorithm": manifestOf(t, manifestHead+`{ "Path": "a", "Size": 5, "Checksum-Algorithm": "MD5", "Checksum": "00" }`+
			manifestRanges),
		"no files": manifestOf(t, manifestHead+manifestRanges),
		"no WAL":   manifestOf(t, manifestHead+file+`],`),
		"no JSON":  manifestOf(t, `nonsense`),
	} {
		if _, err := readManifest(f); !errors.Is(err, errManifest) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestOutput: the line that tells why a server ended is kept, the gravest one.
func TestOutput(t *testing.T) {
	o := newServerOutput()
	o.read(strings.NewReader("00000 LOG:  redo in progress, elapsed time: 1.00 s, current LSN: 1/2B\n58P01 FATAL:  the first\n" +
		"XX000 PANIC:  the gravest\n57P03 FATAL:  a later one\n00000 LOG:  database system is ready to accept connections\n" +
		strings.Repeat("x", 3*longestLine) + "\n"))
	<-o.over
	<-o.ready
	if o.why() != "XX000 PANIC:  the gravest" || o.at.Load() != 0x10000002B || o.lines.Load() != 6 || !strings.Contains(o.last(), "ready") {
		t.Errorf("%q, %X, %d, %q", o.why(), o.at.Load(), o.lines.Load(), o.last())
	}
}
