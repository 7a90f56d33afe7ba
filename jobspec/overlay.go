package jobspec

import "reflect"

// overlay sets the fields of a that are zero from b.
func overlay[T any](a, b *T) {
	x, y := reflect.ValueOf(a).Elem(), reflect.ValueOf(b).Elem()
	for i := range x.NumField() {
		if x.Field(i).IsZero() {
			x.Field(i).Set(y.Field(i))
		}
	}
}
