// Heads and framings of a provider's answers, cut anywhere.
#include "translators/wire/http1.hpp"

#include <gtest/gtest.h>

#include <string>

namespace llm::wire {
namespace {

struct Read {
    bool is_good = true;
    bool is_complete = false;
    uint16_t status = 0;
    std::string body;
    std::string rest;
};

// Feeds `bytes` in pieces of at most `piece` bytes.
Read read(std::string_view bytes, size_t piece) {
    Read result;
    HttpHead head;
    HttpBody body;
    while (!bytes.empty()) {
        std::string_view input = bytes.substr(0, piece);
        bytes.remove_prefix(input.size());
        if (!head.complete()) {
            Result<size_t> taken = head.feed(input);
            if (!taken || (head.complete() && !body.begin(head))) {
                result.is_good = false;
                return result;
            }
            input.remove_prefix(*taken);
            if (!head.complete()) {
                continue;
            }
            result.status = head.status();
        }
        while (!input.empty() && !body.complete()) {
            Result<std::string_view> run = body.next(input);
            if (!run) {
                result.is_good = false;
                return result;
            }
            result.body.append(*run);
        }
        result.rest.append(input);
    }
    result.is_complete = head.complete() && body.complete();
    return result;
}

std::string answer(std::string_view headers, std::string_view body) {
    return std::string("HTTP/1.1 200 OK\r\n").append(headers).append("\r\n").append(body);
}

TEST(Http1, EveryFramingHoweverItIsCut) {
    struct {
        std::string bytes;
        std::string body;
        bool is_complete;
    } cases[] = {
        {answer("Content-Length: 5\r\n", "hello"), "hello", true},
        {answer("content-length:5\r\n", "hel"), "hel", false},
        {answer("Transfer-Encoding: chunked\r\n", "5\r\nhello\r\n1;a=b\r\n!\r\n0\r\n\r\n"),
         "hello!", true},
        {answer("Transfer-Encoding: Chunked\r\n", "A\r\n0123456789\r\n00\r\nX: y\r\n\r\n"),
         "0123456789", true},
        {answer("Transfer-Encoding: chunked\r\n", "5\r\nhello\r\n"), "hello", false},
        {answer("Connection: close\r\n", "until the end"), "until the end", false},
        {"HTTP/1.1 204 No Content\r\n\r\n", "", true},
        {"HTTP/1.0 200 OK\nContent-Length: 2\n\nab", "ab", true},
    };
    for (const auto &one : cases) {
        for (size_t piece = 1; piece <= one.bytes.size(); ++piece) {
            Read got = read(one.bytes, piece);
            EXPECT_TRUE(got.is_good) << one.bytes << piece;
            EXPECT_EQ(got.body, one.body) << one.bytes << piece;
            EXPECT_EQ(got.is_complete, one.is_complete) << one.bytes << piece;
            EXPECT_EQ(got.rest, "") << one.bytes << piece;
        }
    }
}

TEST(Http1, BytesBehindTheAnswerAreLeft) {
    EXPECT_EQ(read(answer("Content-Length: 2\r\n", "abHTTP"), 1000).rest, "HTTP");
    EXPECT_EQ(read(answer("Transfer-Encoding: chunked\r\n", "0\r\n\r\nx"), 3).rest, "x");
}

TEST(Http1, Case62_WhatCouldBeMisreadIsRefused) {
    for (std::string_view headers : {
             "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n",
             "Content-Length: 5\r\nContent-Length: 6\r\n",
             "Content-Length: -1\r\n",
             "Content-Length: 5, 5\r\n",
             "Content-Length: \r\n",
             "Transfer-Encoding: gzip, chunked\r\n",
             "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n",
             "no colon\r\n",
             ": no name\r\n",
         }) {
        EXPECT_FALSE(read(answer(headers, "hello"), 7).is_good) << headers;
    }
    for (std::string_view line : {"HTTP/2 200\r\n\r\n", "HTTP/1.1 20\r\n\r\n", "garbage\r\n\r\n",
                                  "HTTP/1.1 2000 OK\r\n\r\n", "HTTP/1.1 099 OK\r\n\r\n"}) {
        EXPECT_FALSE(read(line, 1000).is_good) << line;
    }
    for (std::string_view body :
         {"x\r\n", "5\nhello", "5\r\nhelloXX", "-5\r\n", "\r\n", "1000000000000000\r\n"}) {
        EXPECT_FALSE(read(answer("Transfer-Encoding: chunked\r\n", body), 1000).is_good) << body;
    }
}

TEST(Http1, AnotherProtocolIsToldByItsFirstBytes) {
    for (std::string_view bytes :
         {"SSH-2.0-OpenSSH_9.2p1\r\n", "\x15\x03\x01\x00\x02\x02\x46", "220 mail.example.test\r\n",
          "\r\n", "HTTP/2 200\r\n", "{\"error\":1}", "h"}) {
        EXPECT_FALSE(HttpHead().feed(bytes)) << bytes;
    }
    HttpHead head;
    for (char c : std::string_view("HTTP/1.1 200 OK\r\n")) {
        EXPECT_TRUE(head.feed({&c, 1}));
    }
    EXPECT_FALSE(head.complete());
}

TEST(Http1, TheHeadHasALimit) {
    HttpHead head(100);
    EXPECT_TRUE(head.feed("HTTP/1.1 200 OK\r\n"));
    EXPECT_FALSE(head.feed(std::string(200, 'a')));
}

TEST(Http1, HeadersAreFoundByAnyCase) {
    HttpHead head;
    ASSERT_TRUE(head.feed("HTTP/1.1 200 OK\r\nX-Request-ID: \t abc \r\nx-request-id: two\r\n\r\n"));
    EXPECT_EQ(head.find("x-request-id"), "abc");
    EXPECT_EQ(head.find("x-request"), "");
}

TEST(HttpHead, ControlCharacters) {
    for (size_t size = 0; size < 20; size++) {
        for (size_t at = 0; at < size; at++) {
            for (int c = 0; c < 256; c++) {
                std::string value(size, ' ');
                value[at] = static_cast<char>(c);
                ASSERT_EQ(has_control(value), c < 0x20 || c == 0x7f)
                    << size << " " << at << " " << c;
                std::string high(size, '\xff');
                high[at] = static_cast<char>(c);
                ASSERT_EQ(has_control(high), c < 0x20 || c == 0x7f)
                    << size << " " << at << " " << c;
            }
        }
    }
}

}  // namespace
}  // namespace llm::wire
