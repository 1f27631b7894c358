package postgres

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"testing"

	"mainstay/controller/platform"
)

// TestWALFiles: each segment comes from the newest timeline that had begun by then, and never from an older one than the
// segment before.
func TestWALFiles(t *testing.T) {
	const size, page = 1 << 20, 8192
	// Timeline 1 was left in the middle of segment 4, and 3 at the start of segment 6.
	line := []stretch{{1, 0, 4*size + size/2}, {3, 4*size + size/2, 6 * size}, {4, 6 * size, endless}}
	tests := []struct {
		name    string
		files   []segment
		takes   []platform.Timeline // of the segments from 3 on; 0: none
		strayed bool
	}{
		{"all there", []segment{{1, 3}, {1, 4}, {3, 4}, {3, 5}, {4, 6}}, []platform.Timeline{1, 3, 3, 4, 0}, false},
		{"the old one goes further", []segment{{1, 3}, {1, 4}, {1, 5}, {3, 4}}, []platform.Timeline{1, 3, 0}, false},
		{"of another line", []segment{{1, 3}, {2, 4}}, []platform.Timeline{1, 0}, false},
		{"not begun yet", []segment{{3, 3}, {4, 3}}, []platform.Timeline{0}, false},
		{"the new one is missing", []segment{{1, 3}, {1, 4}, {3, 5}}, []platform.Timeline{1, 1, 3}, true},
		{"the new one is missing at a boundary", []segment{{3, 5}, {3, 6}}, []platform.Timeline{0, 0, 3, 3}, true},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			dir := t.TempDir()
			for _, s := range tt.files {
				content := make([]byte, size)
				content[size-page] = byte(s.timeline)
				check(t, os.WriteFile(filepath.Join(dir, s.name(size)), content, 0o600))
			}
			w := &walFiles{owner: ourselves(), dir: dir, segmentSize: size, pageSize: page, line: line}
			defer w.close()
			for n, want := range tt.takes {
				for _, at := range []platform.LSN{0, size - page} { // the first page and the last
					got, err := w.page(testContext(t), platform.LSN(3+n)*size+at)
					if err != nil || (got == nil) != (want == 0) || at > 0 && got != nil && platform.Timeline(got[0]) != want {
						t.Errorf("segment %d: a page of %d bytes, %v; want timeline %d", 3+n, len(got), err, want)
					}
				}
			}
			if w.strayed != tt.strayed {
				t.Errorf("strayed is %v", w.strayed)
			}
		})
	}
}

// TestWALFilesThatAreNone: what is cut off ends WAL, what cannot be read is an error.
func TestWALFilesThatAreNone(t *testing.T) {
	const size, page = 1 << 20, 8192
	dir := t.TempDir()
	path := filepath.Join(dir, segment{1, 3}.name(size))
	w := &walFiles{owner: ourselves(), dir: dir, segmentSize: size, pageSize: page, line: []stretch{{1, 0, endless}}}
	defer w.close()
	check(t, os.WriteFile(path, make([]byte, 3*page-1), 0o600))
	for n, there := range []bool{true, true, false, false} {
		if got, err := w.page(testContext(t), platform.LSN(3*size+n*page)); err != nil || (got != nil) != there {
			t.Errorf("page %d: %d bytes, %v", n, len(got), err)
		}
	}
	w.close()
	check(t, os.Remove(path))
	check(t, os.Mkdir(path, 0o700))
	if _, err := w.page(testContext(t), 3*size); err == nil {
		t.Error("a folder was read as WAL")
	}
	check(t, os.Remove(path))
	check(t, os.WriteFile(path, make([]byte, size), 0o600))
	ctx, cancel := context.WithCancel(testContext(t))
	cancel()
	if _, err := w.page(ctx, 3*size); !errors.Is(err, context.Canceled) {
		t.Errorf("read past its deadline: %v", err)
	}
}
