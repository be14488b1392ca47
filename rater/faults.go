package rater

// Faults are deliberate violations of the protocol, one a member. The simulation switches each on in turn and
// must notice; nothing else sets them. They stand here, beside the rules that they break, so that
// the test of the test runs against the real code.
type Faults struct {
	// of the state and what is computed from it
	RememberRejected         bool // an identity is remembered though its event was rejected
	WindowWithoutTolerance   bool // identities count for the window alone, without the future tolerance
	TwinsUnseen              bool // of two events of one record with the same identity the second is not checked
	ConflictIsDuplicate      bool // the same identity with another content counts as a duplicate
	OverlapIsRepeat          bool // an overlapping range of definitions is taken for a repeat
	StaleSnapshot            bool // activating definitions leaves the catalogue as it was
	StalePlans               bool // … or the compiled plans of the accounts that changed
	DefinitionsLeaveRecalled bool // … or the resolutions that are remembered
	SealLeavesRecalled       bool // a seal leaves the resolutions that are remembered
	SealEndsEarly            bool // a seal ends an instant before its period
	LateUnderNewDefinitions  bool // late usage is priced under the activated definitions, not those of the seal
	CarryToOriginalBilled    bool // late usage goes to who was billed for its own period, not to who is billed then
	CarryIntoSealed          bool // late usage goes to the next period though that is sealed too
	CarryBeforeClosed        bool // … or to an open one before a line that is on a closed invoice
	SealedAsOpen             bool // sealed lines are priced as open ones
	SweepSkipsSealed         bool // a sweep passes over sealed lines
	MarkerAgain              bool // a marker that is finished or not above the last one begins again
	ResultOfAnyMarker        bool // the result of another attempt is merged
	ResultOnAnySeal          bool // a result changes lines that are sealed under older definitions
	ResultNotOnSealed        bool // … or none that are sealed
	ContinuationStays        bool // of a family whose usage is rated anew only the first line is priced
	NoSecondState            bool // what comes after a marker is not gathered
	MovedSharesStay          bool // what lines have of pools stays in them when these are rated anew
	LeftSharesForgotten      bool // … and what others owe of a pool since lines have left it is taken for charged
	PartLost                 bool // a result is merged though parts of it are missing
	MarkersOutside           bool // markers are not part of the checkpoint
	SecondOutside            bool // … or second states
	ValuesUnread             bool // a result is merged though distinct values that it counts are not read
	BothPartsCount           bool // a distinct value that stands before and behind a marker counts twice
	SetsGoneInUse            bool // distinct values that are counted anew may be deleted when they have taken the place of others
	LateValuesTaken          bool // usage is taken though distinct values of its period are kept no more
	AnsweredWaits            bool // a correction that was answered goes on waiting
	AnsweredForgotten        bool // … or its identity is not remembered
	NamesakeLeftOut          bool // … or it leaves out what comes under the same name between its marker and the result
	EvictDirty               bool // a family is let go of before its changes are committed

	// of prices
	CellByLogTime       bool // a matrix selects by when an event arrived, not by its time
	LatestByArrival     bool // the latest quantity, a level and a unit's day go by when an event arrived
	CellsTogether       bool // the cells of a matrix share their segments
	TiersAnew           bool // tiers start anew wherever the rate changes
	LogOrderAlone       bool // what prices in log order does not look at the lines that its own continues
	CountedByPlace      bool // a distinct value is counted in each place in which it is seen
	ForgottenValueIsNew bool // a value that is no more in memory is taken for one that was not seen
	LevelsBeginAnew     bool // a line takes over no level from the period before
	LaterLevelsStay     bool // … or keeps what it took over, whatever still falls on those before it
	QuietPeriodsFree    bool // … or begins with none when that is sealed
	NewerExchange       bool // prices in another currency follow the exchange rates that are known now, not those that they began with
	MergedLevelsStay    bool // … or keeps what it was summed up with when the lines before it are rated anew
	RecallLeavesGroup   bool // a resolution that is remembered is taken for events of other groups

	// of the checkpoint
	CheckpointBeforeAcks bool // a cut is committed before its rated records are acknowledged
	NoReadBack           bool // a gap in the acknowledged offsets of `rated` is not read back
	TakeBehindGap        bool // a record of `rated` that does not follow on is taken
	TailFromTheEnd       bool // the tail of `rated` is taken to begin where this rater has read to
	NoReplayCheck        bool // a replay is not compared with what stands in `rated`
	LiveLines            bool // lines are taken live instead of as of the cut
	LivePools            bool // … or pools
	ValuesOutside        bool // distinct values are not part of the checkpoint
	SetsOutside          bool // … or which sets of them are of use
	LevelsOutside        bool // … or which lines' levels wait for a seal
	LiveNext             bool // … or the offset
	MovedAsUsual         bool // lines that have moved in their family are saved as usage changes lines
	LostDirtyFlag        bool // a line that changes while a cut is in flight is not part of the next cut
	IdentitiesOutside    bool // the duplicates index is not part of the checkpoint
	IdleOwnerDoesNotLook bool // an owner without work does not read its row

	// of the live view
	HeadMovedAtOnce       bool // a strange head in the live store is overwritten instead of rebuilt
	UnversionedProjection bool // an older version overwrites a newer one in the live store
	RebuildLeavesUnsaved  bool // a rebuild leaves out what is not committed yet
	RebuildOnePage        bool // … or what stands behind the first page

	// Not violations.
	OtherVersion bool                               // this rater is of another version, its results differ
	PanicAt      func(offset int64, index int) bool // rating panics at such an event
}
