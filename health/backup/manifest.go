package backup

import (
	"bytes"
	"cmp"
	"crypto/sha256"
	"crypto/sha512"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"hash"
	"hash/crc32"
	"io"
	"os"
	"slices"
	"strings"

	"mainstay/controller/platform"
)

// manifestName is what PostgreSQL calls it in a copy.
const manifestName = "backup_manifest"

// manifest is a backup_manifest of PostgreSQL 13 and newer: what pg_basebackup says that it has copied.
type manifest struct {
	SHA256   string // of the whole file
	SystemID string // from 17 on; "" before
	Files    map[string]*manifestFile
	Ranges   []walRange // one for each timeline: the WAL that the copy needs
	Bytes    int64
}

// manifestFile is a file of the manifest.
type manifestFile struct {
	size      int64
	algorithm string // "" where the manifest has no checksum
	sum       []byte
	seen      bool
}

type walRange struct {
	Timeline platform.Timeline `json:"Timeline"`
	Start    platform.LSN      `json:"Start-LSN"`
	End      platform.LSN      `json:"End-LSN"`
}

// errManifest is returned for a manifest that is not what PostgreSQL wrote.
var errManifest = errors.New("the manifest is damaged")

// manifestTail is the beginning of a manifest's last line, which has the checksum of all lines before it.
const manifestTail = `"Manifest-Checksum": "`

// readManifest reads a manifest, and verifies the checksum that it has of itself.
func readManifest(f *os.File) (*manifest, error) {
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	size := info.Size()
	last := make([]byte, min(size, 256))
	if _, err := f.ReadAt(last, size-int64(len(last))); err != nil {
		return nil, err
	}
	at := bytes.LastIndex(last, []byte("\n"+manifestTail))
	if at < 0 {
		return nil, fmt.Errorf("%w: it has no checksum at its end", errManifest)
	}
	last = last[at+1:]
	said, _, _ := strings.Cut(string(last[len(manifestTail):]), `"`)
	sum := sha256.New()
	if _, err := io.Copy(sum, io.NewSectionReader(f, 0, size-int64(len(last)))); err != nil {
		return nil, err
	}
	if hex.EncodeToString(sum.Sum(nil)) != said {
		return nil, fmt.Errorf("%w: it does not match its own checksum", errManifest)
	}
	sum.Write(last)
	m, err := parseManifest(io.NewSectionReader(f, 0, size))
	if err != nil {
		return nil, fmt.Errorf("%w: %w", errManifest, err)
	}
	m.SHA256 = hex.EncodeToString(sum.Sum(nil))
	return m, nil
}

// parseManifest reads the files one by one: a manifest may have a million of them.
func parseManifest(r io.Reader) (*manifest, error) {
	m := &manifest{Files: map[string]*manifestFile{}}
	d := json.NewDecoder(r)
	d.UseNumber()
	if err := want(d, json.Delim('{')); err != nil {
		return nil, err
	}
	for d.More() {
		key, err := d.Token()
		if err != nil {
			return nil, err
		}
		switch key {
		case "PostgreSQL-Backup-Manifest-Version":
			var version int
			if err = d.Decode(&version); err == nil && (version < 1 || version > 2) {
				err = fmt.Errorf("version %d of manifests is not known here", version)
			}
		case "System-Identifier":
			var id json.Number
			err = d.Decode(&id)
			m.SystemID = id.String()
		case "Files":
			err = m.files(d)
		case "WAL-Ranges":
			err = d.Decode(&m.Ranges)
		default:
			var other json.RawMessage
			err = d.Decode(&other)
		}
		if err != nil {
			return nil, err
		}
	}
	if len(m.Ranges) == 0 || len(m.Files) == 0 {
		return nil, errors.New("it names no files, or no WAL")
	}
	return m, want(d, json.Delim('}'))
}

func want(d *json.Decoder, t json.Token) error {
	got, err := d.Token()
	if err == nil && got != t {
		err = fmt.Errorf("%v in the place of %v", got, t)
	}
	return err
}

func (m *manifest) files(d *json.Decoder) error {
	if err := want(d, json.Delim('[')); err != nil {
		return err
	}
	for d.More() {
		var f struct {
			Path      string
			Encoded   string `json:"Encoded-Path"` // of a name that is no UTF-8
			Size      *int64
			Algorithm string `json:"Checksum-Algorithm"`
			Checksum  string
		}
		if err := d.Decode(&f); err != nil {
			return err
		}
		if name, err := hex.DecodeString(f.Encoded); err == nil && len(name) > 0 {
			f.Path = string(name)
		}
		sum, err := hex.DecodeString(f.Checksum)
		if err != nil || f.Size == nil || f.Path == "" || m.Files[f.Path] != nil {
			return fmt.Errorf("a file without name or size, or named twice: %+v (%w)", f, err)
		}
		if f.Algorithm != "" && newSum(f.Algorithm) == nil {
			return fmt.Errorf("checksums %s are not known here", f.Algorithm)
		}
		m.Files[f.Path] = &manifestFile{size: *f.Size, algorithm: f.Algorithm, sum: sum}
		m.Bytes += *f.Size
	}
	return want(d, json.Delim(']'))
}

// start and end are the WAL that the copy needs, and on which timeline that ends. The ranges begin with the newest timeline.
func (m *manifest) start() platform.LSN { return slices.MinFunc(m.Ranges, walRange.compare).Start }
func (m *manifest) end() walRange       { return slices.MaxFunc(m.Ranges, walRange.compare) }

func (r walRange) compare(o walRange) int { return cmp.Compare(r.Timeline, o.Timeline) }

// missing are the files of the manifest that were not seen, sorted.
func (m *manifest) missing() (names []string) {
	for name, f := range m.Files {
		if !f.seen {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names
}

// newSum is nil for an algorithm that is not known here.
func newSum(algorithm string) hash.Hash {
	switch algorithm {
	case "CRC32C":
		return &crc32c{crc32.New(crc32.MakeTable(crc32.Castagnoli))}
	case "SHA224":
		return sha256.New224()
	case "SHA256":
		return sha256.New()
	case "SHA384":
		return sha512.New384()
	case "SHA512":
		return sha512.New()
	}
	return nil
}

// crc32c gives a sum as PostgreSQL prints it: the bytes of an integer in the memory of a little-endian machine.
type crc32c struct{ hash.Hash32 }

func (c *crc32c) Sum(b []byte) []byte { return binary.LittleEndian.AppendUint32(b, c.Sum32()) }

// verifier checks one file against its entry while its content passes.
type verifier struct {
	entry *manifestFile
	sum   hash.Hash // nil: the manifest has no checksum
	n     int64
}

func (m *manifest) verifier(name string) *verifier {
	e := m.Files[name]
	if e == nil {
		return nil
	}
	e.seen = true
	return &verifier{entry: e, sum: newSum(e.algorithm)}
}

func (v *verifier) Write(b []byte) (int, error) {
	v.n += int64(len(b))
	if v.sum != nil {
		v.sum.Write(b)
	}
	return len(b), nil
}

// fault is what is wrong with the file; "" for nothing.
func (v *verifier) fault() string {
	switch {
	case v.n != v.entry.size:
		return fmt.Sprintf("has %d bytes, and %d in the manifest", v.n, v.entry.size)
	case v.sum != nil && !bytes.Equal(v.sum.Sum(nil), v.entry.sum):
		return fmt.Sprintf("does not match its %s checksum in the manifest", v.entry.algorithm)
	}
	return ""
}
