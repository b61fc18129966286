package model

// Budget counts what may happen, or has happened, only so often: faults, and what operators do.
type Budget struct {
	Failovers uint8 // the replica becomes a second master
	Restarts  uint8 // a master comes back with the same, older or no data, under a new replication id
	Flushes   uint8 // a master loses its data and keeps its replication id
	Rewinds   uint8 // a master forgets its last grant, and nobody can tell
	Crashes   uint8 // a warden or a pusher forgets where it was
	Parks     uint8 // the consumer gives up on a record for now and keeps it as a failed event
	Discards  uint8
	Raises    uint8
	Lowers    uint8
	Cancels   uint8
}

// Config is a system to search: what it has, and how much may happen to it.
type Config struct {
	Name     string
	About    string
	Users    int   // at most 3
	Limit    uint8 // places at the start
	Nodes    int   // 2 = a Redis with a replica
	Epochs   uint8 // so many minus one fences, takeovers included; at most 4
	Wardens  int
	Pushers  int
	InFlight int  // applies being worked on at a time
	Direct   bool // the log may be away: api-servers issue by themselves
	SQL      bool // an epoch may open in mode sql
	Budget   Budget

	MaxStates int  // stop there and say so; 0 = search everything
	Plain     bool // keep what changes nothing, as a search without a rule does: many times the states
}

// Configs returns the named configurations, each small enough to be searched to its end.
func Configs() []Config {
	return []Config{
		{
			Name: "core", About: "failover with two masters, restart, one fence, direct issue",
			Users: 3, Limit: 2, Nodes: 2, Epochs: 2, Wardens: 1, InFlight: 2, Direct: true,
			Budget: Budget{Failovers: 1, Restarts: 1},
		},
		{
			Name: "carried", About: "failed events across two fences, a discarded one among them, a warden that dies",
			Users: 2, Limit: 2, Nodes: 1, Epochs: 3, Wardens: 1, InFlight: 1,
			Budget: Budget{Parks: 2, Discards: 1, Crashes: 1},
		},
		{
			Name: "corrupt", About: "a Redis that forgets a grant unnoticed, and the fence after it",
			Users: 3, Limit: 2, Nodes: 1, Epochs: 2, Wardens: 1, InFlight: 1,
			Budget: Budget{Rewinds: 1, Parks: 1},
		},
		{
			Name: "returns", About: "raise, lower and cancel with return, around a fence",
			Users: 2, Limit: 2, Nodes: 1, Epochs: 2, Wardens: 1, Pushers: 1, InFlight: 1,
			Budget: Budget{Raises: 1, Lowers: 1, Cancels: 1, Crashes: 1},
		},
		{
			Name: "lowerings", About: "two lowerings and a raise, two servers that push and answer late",
			Users: 2, Limit: 2, Nodes: 1, Epochs: 1, Wardens: 1, Pushers: 2, InFlight: 1,
			Budget: Budget{Raises: 1, Lowers: 2, Crashes: 1},
		},
		{
			Name: "sql", About: "into mode sql and back, with a failed event, a return and a restart",
			Users: 2, Limit: 2, Nodes: 1, Epochs: 3, Wardens: 1, InFlight: 1, SQL: true,
			Budget: Budget{Parks: 1, Cancels: 1, Restarts: 1},
		},
		{
			Name: "wardens", About: "two wardens that do not know of each other, loading taken over, restart, flush",
			Users: 2, Limit: 2, Nodes: 2, Epochs: 3, Wardens: 2, InFlight: 1,
			Budget: Budget{Restarts: 1, Flushes: 1, Crashes: 1},
		},
	}
}
