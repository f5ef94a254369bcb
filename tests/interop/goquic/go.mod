module quicpeer

go 1.26

require golang.org/x/net v0.0.0
require golang.org/x/crypto v0.0.0
require golang.org/x/sys v0.0.0

replace golang.org/x/net => ./x/net
replace golang.org/x/crypto => ./x/crypto
replace golang.org/x/sys => ./x/sys
