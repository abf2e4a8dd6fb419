POST / HTTP/1.1
Host: a
Expect: 100-continue
Content-Length: 5

