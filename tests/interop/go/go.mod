module caesura.test/gopeer

go 1.26
