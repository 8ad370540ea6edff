// A responder on Go's net/http/fcgi, which handles each connection in goroutines of its own.
//
//	responder SOCKET HEADERS-FILE BODY-FILE
//
// A GET is answered with the files, a POST with the number of bytes that came.
package main

import (
	"io"
	"log"
	"net"
	"net/http"
	"net/http/fcgi"
	"os"
	"strconv"
	"strings"
)

func contentOf(path string) []byte {
	content, err := os.ReadFile(path)
	if err != nil {
		log.Fatal(err)
	}
	return content
}

func main() {
	network := "unix"
	if !strings.HasPrefix(os.Args[1], "/") {
		network = "tcp"
	}
	listener, err := net.Listen(network, os.Args[1])
	if err != nil {
		log.Fatal(err)
	}
	var headers [][2]string
	for _, line := range strings.Split(strings.TrimSpace(string(contentOf(os.Args[2]))), "\r\n") {
		name, value, _ := strings.Cut(line, ": ")
		headers = append(headers, [2]string{name, value})
	}
	reply := contentOf(os.Args[3])
	log.Fatal(fcgi.Serve(listener, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body := reply
		if r.Method == "POST" {
			length, _ := io.Copy(io.Discard, r.Body)
			body = []byte(strconv.FormatInt(length, 10))
		}
		for _, header := range headers {
			w.Header().Set(header[0], header[1])
		}
		w.Header().Set("Content-Length", strconv.Itoa(len(body)))
		w.Write(body)
	})))
}
