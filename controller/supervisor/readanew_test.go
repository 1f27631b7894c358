package supervisor

import (
	"reflect"
	"slices"
	"testing"

	"mainstay/controller/postgres"
)

// TestReadAnew: each value of a status is read again by a kept session, or is named here as one that is not. A new one that is forgotten
// would stay as it was for ten minutes.
func TestReadAnew(t *testing.T) {
	stays := []string{"Moving", "SystemID", "Version", "Asked", "SyncNamesFile", "ConnInfoFile", "Demanded", "Raised", "Held"}
	var news, status postgres.Status
	from := reflect.ValueOf(&news).Elem()
	for i := range from.NumField() {
		switch f := from.Field(i); f.Kind() {
		case reflect.Slice:
			f.Set(reflect.MakeSlice(f.Type(), 1, 1))
		case reflect.Map:
			f.Set(reflect.MakeMap(f.Type()))
		case reflect.Pointer:
			f.Set(reflect.New(f.Type().Elem()))
		case reflect.String:
			f.SetString("new")
		case reflect.Bool:
			f.SetBool(true)
		case reflect.Int, reflect.Int64:
			f.SetInt(1)
		case reflect.Uint32, reflect.Uint64:
			f.SetUint(1)
		}
	}
	readAnew(&status, news)
	to := reflect.ValueOf(status)
	for i := range to.NumField() {
		if name := to.Type().Field(i).Name; to.Field(i).IsZero() != slices.Contains(stays, name) {
			t.Errorf("%s: read again: %v", name, !to.Field(i).IsZero())
		}
	}
}
