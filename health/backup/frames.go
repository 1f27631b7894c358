package backup

import (
	"io"
	"runtime"
	"sync"
	"sync/atomic"

	"github.com/klauspost/compress/zstd"
)

const (
	frameSize  = 4 << 20 // bytes that are packed at once
	mostFrames = 8       // at a time; each takes twice its size in memory
)

// frames packs what is written to it, in frames that are packed at the same time and written in order. Frames one behind the other are what
// every reader of zstd reads. Close waits for all of them.
type frames struct {
	out   io.Writer
	z     *zstd.Encoder
	chunk []byte
	work  chan *frame // to be packed
	queue chan *frame // in order, to be written
	spare sync.Pool   // of *frame
	done  chan struct{}
	err   atomic.Pointer[error] // of writing
}

type frame struct {
	plain, packed []byte
	ready         chan struct{} // closed when packed is
}

func newFrames(out io.Writer, nice int) (*frames, error) {
	at := min(mostFrames, runtime.GOMAXPROCS(0))
	z, err := zstd.NewWriter(nil, zstd.WithEncoderLevel(zstd.SpeedFastest), zstd.WithEncoderConcurrency(at), zstd.WithEncoderCRC(false))
	if err != nil {
		return nil, err
	}
	f := &frames{out: out, z: z, work: make(chan *frame, at), queue: make(chan *frame, at), done: make(chan struct{})}
	f.spare.New = func() any { return &frame{plain: make([]byte, 0, frameSize)} }
	f.chunk = make([]byte, 0, frameSize)
	for range at {
		go f.pack(nice)
	}
	go f.write()
	return f, nil
}

// write writes packed frames in order, to the end of the queue. After an error it only empties it.
func (f *frames) write() {
	defer close(f.done)
	for one := range f.queue {
		<-one.ready
		if f.err.Load() == nil {
			if _, err := f.out.Write(one.packed); err != nil {
				f.err.Store(&err)
			}
		}
		f.spare.Put(one)
	}
}

func (f *frames) Write(b []byte) (int, error) {
	if err := f.err.Load(); err != nil {
		return 0, *err
	}
	n := len(b)
	for len(b) > 0 {
		room := min(len(b), frameSize-len(f.chunk))
		f.chunk, b = append(f.chunk, b[:room]...), b[room:]
		if len(f.chunk) == frameSize {
			f.submit()
		}
	}
	return n, nil
}

// submit packs the present chunk, and waits where too many are being packed.
func (f *frames) submit() {
	one := f.spare.Get().(*frame)
	one.plain, f.chunk = f.chunk, one.plain[:0]
	one.ready = make(chan struct{})
	f.queue <- one // first: it waits for room, and pack never does
	f.work <- one
}

// pack packs frames, to the end of the work. write waits for each.
func (f *frames) pack(nice int) {
	yield(nice)
	for one := range f.work {
		one.packed = f.z.EncodeAll(one.plain, one.packed[:0])
		close(one.ready)
	}
}

// Close packs the rest.
func (f *frames) Close() error {
	if len(f.chunk) > 0 {
		f.submit()
	}
	close(f.work)
	close(f.queue)
	<-f.done
	if err := f.err.Load(); err != nil {
		return *err
	}
	return f.z.Close()
}
