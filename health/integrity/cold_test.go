package integrity

import (
	"errors"
	"flag"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"testing"
	"time"

	"mainstay/controller/postgres"
	"mainstay/health/integrity/page"
	"mainstay/test/damage"
	"mainstay/test/kit"
)

var (
	coldDir = flag.String("cold-dir", "/var/tmp", "where BenchmarkCold has its data: on a disk")
	coldMB  = flag.Int("cold-mb", 2048, "how much that is, in MB")
)

// BenchmarkCold reads the same data with a cold cache by Scan and by pg_checksums, in turns, and reports both rates and the median of the
// turns' ratios; then by Scan with a summary of every page, as a comparison does. Each is a part of the next turn's noise alike.
func BenchmarkCold(b *testing.B) {
	t := &testing.T{}
	all, err := damage.Installations()
	if err != nil {
		b.Skip(err)
	}
	owner := kit.Must[postgres.Owner](t)(damage.TestOwner())
	dir := kit.Must[string](t)(os.MkdirTemp(*coldDir, "mst"))
	defer os.RemoveAll(dir)
	kit.Check(t, os.Chmod(dir, 0o755))
	ctx := b.Context()
	s, err := damage.NewServer(ctx, all[0], owner, dir)
	if err != nil {
		b.Fatal(err)
	}
	if err := rows(s, owner, *coldMB); err != nil {
		b.Fatal(err)
	}
	run := func(o Options) func() (int64, error) {
		return func() (int64, error) {
			r, err := (&Scanner{Dir: s.Data}).Scan(ctx, o, Sink{Finding: func(f Finding) { b.Errorf("%+v", f) }})
			return r.Bytes, err
		}
	}
	rules := func(r Relation, _ page.Fork) (page.Rules, bool) {
		return page.Rules{Method: page.Heap, HintsLogged: true}, r.Node == node
	}
	ways := []struct {
		name string
		run  func() (int64, error)
		mbs  []float64
	}{
		{name: "scan", run: run(Options{})},
		{name: "pg_checksums", run: func() (int64, error) {
			_, err := s.Checksums(ctx)
			return 0, err
		}},
		{name: "summaries", run: run(Options{Rules: rules})},
	}
	var ratios, summarised []float64
	for b.Loop() {
		for n := range ways {
			w := &ways[n]
			if err := forget(s.Data); err != nil {
				b.Fatal(err)
			}
			begun := time.Now()
			if _, err := w.run(); err != nil {
				b.Fatalf("%s: %v", w.name, err)
			}
			w.mbs = append(w.mbs, float64(*coldMB)/time.Since(begun).Seconds())
		}
		last := len(ways[0].mbs) - 1
		ratios = append(ratios, ways[0].mbs[last]/ways[1].mbs[last])
		summarised = append(summarised, ways[0].mbs[last]/ways[2].mbs[last])
	}
	for _, w := range ways {
		b.ReportMetric(median(w.mbs), w.name+"-MB/s")
	}
	b.ReportMetric(median(ratios), "x-pg_checksums")
	b.ReportMetric(median(summarised), "x-summaries")
}

func median(v []float64) float64 {
	slices.Sort(v)
	return v[len(v)/2]
}

const node = 900000

// rows gives a server files of a relation that no catalog knows, with valid pages of random rows.
func rows(s *damage.Server, o postgres.Owner, megabytes int) error {
	r := rand.New(rand.NewPCG(13, 14))
	row := make([]byte, 8192)
	for n := range row {
		row[n] = byte(r.Uint32())
	}
	block := uint32(0)
	for segment := 0; megabytes > 0; segment++ {
		path := filepath.Join(s.Data, "base/1", strconv.Itoa(node))
		if segment > 0 {
			path += "." + strconv.Itoa(segment)
		}
		f, err := os.Create(path)
		if err != nil {
			return err
		}
		for range min(megabytes, 1024) {
			var part []byte
			for range 128 {
				part = append(part, filled(row, block)...)
				block++
			}
			if _, err = f.Write(part); err != nil {
				return errors.Join(err, f.Close())
			}
		}
		if err := errors.Join(f.Sync(), f.Close(), os.Chown(path, int(o.UID), int(o.GID))); err != nil {
			return err
		}
		megabytes -= 1024
	}
	return nil
}

// filled is a heap's page with 60 rows of 128 bytes.
func filled(row []byte, block uint32) []byte {
	p := slices.Clone(row)
	copy(p, validPage(8192, block, 1)[:page.HeaderSize])
	put := func(at int, n uint32) {
		p[at], p[at+1], p[at+2], p[at+3] = byte(n), byte(n>>8), byte(n>>16), byte(n>>24)
	}
	const count = 60

	lower, upper := page.HeaderSize+4*count, 8192-128*count
	p[12], p[13], p[14], p[15] = byte(lower), byte(lower>>8), byte(upper), byte(upper>>8)
	for n := range count {
		put(page.HeaderSize+4*n, uint32(8192-128*(n+1))|1<<15|128<<17)
	}
	put(8192-4, block)
	sum := page.Checksum(p, block)
	p[8], p[9] = byte(sum), byte(sum>>8)
	return p
}

// forget drops a directory's files from the page cache.
func forget(dir string) error {
	return filepath.WalkDir(dir, func(path string, e fs.DirEntry, err error) error {
		if err != nil || !e.Type().IsRegular() {
			return err
		}
		f, err := os.Open(path)
		if err == nil {
			advise(f, 0, 0, adviseDontNeed)
			err = f.Close()
		}
		return err
	})
}
