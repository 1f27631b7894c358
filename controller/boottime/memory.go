package boottime

import (
	"os"
	"path/filepath"
	"syscall"
)

// Memory is a folder for data that program needs until the host's next boot and no longer: in memory, outside its own folders, so that a
// restore of those does not bring it back. It is below /run for root and for a user whose unit's RuntimeDirectory= has made it, otherwise
// below the user's XDG_RUNTIME_DIR; "" where there is none. The caller may have to create it.
func Memory(program string) string {
	dir := filepath.Join("/run", program)
	if os.Geteuid() != 0 && !ours(dir) {
		user := os.Getenv("XDG_RUNTIME_DIR")
		if !filepath.IsAbs(user) || !ours(user) { // su keeps another user's
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
