package boottime

import (
	"os"
	"path/filepath"
	"syscall"
)

// Memory is a folder for what program must know until the host's next boot and no longer: in memory, outside its own folders, so
// that it does not come back with them. It lies below /run for root, and for whom a unit's RuntimeDirectory= has made it, else
// below the user's XDG_RUNTIME_DIR; "" where there is none. It may have to be created.
func Memory(program string) string {
	dir := filepath.Join("/run", program)
	if os.Geteuid() != 0 && !ours(dir) {
		user := os.Getenv("XDG_RUNTIME_DIR")
		if !filepath.IsAbs(user) || !ours(user) { // su hands on another user's
			return ""
		}
		dir = filepath.Join(user, program)
	}
	return filepath.Join(dir, BootID())
}

func ours(dir string) bool {
	info, err := os.Stat(dir)
	if err != nil {
		return false
	}
	st, ok := info.Sys().(*syscall.Stat_t)
	return ok && int(st.Uid) == os.Geteuid()
}
