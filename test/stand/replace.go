package stand

import "os"

// Replace puts another build of the program in the place of the one that the stand runs. What runs goes on with the old
// one; what is started from now on is the new.
func (s *Stand) Replace(binary string) error {
	next := s.bin + ".next"
	if err := copyProgram(binary, next); err != nil {
		return err
	}
	return os.Rename(next, s.bin) // a program that runs cannot be written over
}
