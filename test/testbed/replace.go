package testbed

import "os"

// Replace replaces the program of the testbed by another build. Running processes keep the old one; processes started from now on have
// the new one.
func (s *Testbed) Replace(binary string) error {
	next := s.bin + ".next"
	if err := copyProgram(binary, next); err != nil {
		return err
	}
	return os.Rename(next, s.bin) // a program that runs cannot be written over
}
