package integrity

import (
	"errors"
	"io"
	"os"
	"syscall"
	"unsafe"
)

// sector is what offsets, sizes and buffers are aligned to for direct reads, in bytes.
const sector = 4096

// buffer is an aligned slice of so many bytes.
func buffer(size int) []byte {
	b := make([]byte, size+sector)
	shift := int(-uintptr(unsafe.Pointer(unsafe.SliceData(b))) & (sector - 1))
	return b[shift : shift+size : shift+size]
}

// fetch reads a part of a file, which begins at a multiple of sector, from the disk and not from the page cache: what the cache holds may
// be better than what the disk has, and what a check reads must not displace what the database needs. A filesystem without direct reads is
// read through the cache, which is left as it was. b has a multiple of sector; fewer bytes are read at the end of the file.
func (t *tree) fetch(f folder, name string, b []byte, from int64) (n int, err error) {
	path := f.dir + "/" + name
	file, _, err := t.open(f.root, path, syscall.O_DIRECT)
	if err == nil {
		n, err = readAt(file, b, from)
		err = errors.Join(err, file.Close())
	}
	if !errors.Is(err, syscall.EINVAL) {
		return n, err
	}
	if file, _, err = t.open(f.root, path, 0); err != nil {
		return 0, err
	}
	n, err = readCached(file, b, from)
	return n, errors.Join(err, file.Close())
}

// fetchCached reads a part of a file through the page cache.
func (t *tree) fetchCached(f folder, name string, b []byte, from int64) (int, error) {
	file, _, err := t.open(f.root, f.dir+"/"+name, 0)
	if err != nil {
		return 0, err
	}
	n, err := readAt(file, b, from)
	return n, errors.Join(err, file.Close())
}

// ofDisk tells whether the disk or its filesystem has lost what a read asked for, by the kernel's word. Other errors, such as a lack of
// rights, memory or file handles, are no evidence against the data.
func ofDisk(err error) bool {
	for _, lost := range []syscall.Errno{syscall.EIO, syscall.ENODATA, syscall.EREMOTEIO, syscall.EILSEQ, syscall.EBADMSG, syscall.EUCLEAN} {
		if errors.Is(err, lost) {
			return true
		}
	}
	return false
}

// readCached reads through the page cache, and drops what was not there before.
func readCached(f *os.File, b []byte, from int64) (int, error) {
	before := resident(f, from, len(b))
	advise(f, 0, 0, adviseRandom) // no reading ahead, which would cache pages that no reader asks for
	n, err := readAt(f, b, from)
	size := int64(os.Getpagesize())
	for at, was := range before {
		if !was {
			advise(f, from+int64(at)*size, size, adviseDontNeed)
		}
	}
	return n, err
}

func readAt(f *os.File, b []byte, from int64) (int, error) {
	n, err := f.ReadAt(b, from)
	if errors.Is(err, io.EOF) {
		err = nil
	}
	return n, err
}

// resident tells which memory pages of a part of a file are in the page cache (mincore(2)). Where that cannot be told it returns nil, and
// none is dropped.
func resident(f *os.File, from int64, length int) []bool {
	info, err := f.Stat()
	if err != nil || info.Size() <= from {
		return nil
	}
	length = int(min(int64(length), info.Size()-from))
	m, err := syscall.Mmap(int(f.Fd()), from, length, syscall.PROT_READ, syscall.MAP_SHARED)
	if err != nil {
		return nil
	}
	defer syscall.Munmap(m)
	pages := make([]byte, (length+os.Getpagesize()-1)/os.Getpagesize())
	if _, _, errno := syscall.Syscall(syscall.SYS_MINCORE, uintptr(unsafe.Pointer(unsafe.SliceData(m))), uintptr(length),
		uintptr(unsafe.Pointer(unsafe.SliceData(pages)))); errno != 0 {
		return nil
	}
	all := make([]bool, len(pages))
	for n, p := range pages {
		all[n] = p&1 != 0
	}
	return all
}

// Advice of posix_fadvise(2).
const (
	adviseRandom   = 1
	adviseDontNeed = 4
)

// advise cannot fail in a way that matters: it is advice.
func advise(f *os.File, from, length int64, advice uintptr) {
	_, _, _ = syscall.Syscall6(syscall.SYS_FADVISE64, f.Fd(), uintptr(from), uintptr(length), advice, 0, 0)
}
