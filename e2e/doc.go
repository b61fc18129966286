// Package e2e proves the promises of the issue on the real programs and the real stores: the programs are started,
// killed and stopped as processes, the stores are taken away, and what users were told is compared with the database.
package e2e
