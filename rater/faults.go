package rater

// Faults are deliberate violations of the protocol, one a member. The simulation switches each on in turn and
// must notice; nothing else sets them. They stand here, beside the rules that they break, so that
// the test of the test runs against the real code.
type Faults struct {
	RememberRejected       bool // an identity is remembered though its event was rejected
	OverlapIsRepeat        bool // an overlapping range of definitions is taken for a repeat
	CheckpointBeforeAcks   bool // a cut is committed before its rated records are acknowledged
	NoReadBack             bool // a gap in the acknowledged offsets of `rated` is not read back
	LiveLines              bool // lines are taken live instead of as of the cut
	IdentitiesOutside      bool // the duplicates index is not part of the checkpoint
	NoReplayCheck          bool // a replay is not compared with what stands in `rated`
	HeadMovedAtOnce        bool // a strange head in the live store is overwritten instead of rebuilt
	UnversionedProjection  bool // an older version overwrites a newer one in the live store
	LostDirtyFlag          bool // a line that changes while a cut is in flight is not part of the next cut
	IdleOwnerDoesNotLook   bool // an owner without work does not read its row
	WindowWithoutTolerance bool // identities count for the window alone, without the future tolerance

	// Not violations.
	OtherVersion bool                               // this rater is of another version, its results differ
	PanicAt      func(offset int64, index int) bool // rating panics at such an event
}
