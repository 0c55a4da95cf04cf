// Newline-delimited JSON. Every stream is fed whole, cut at every byte, and byte by byte; each
// piece is an allocation of its own, so a view that is kept too long is caught.
#include "translators/wire/ndjson.hpp"

#include <gtest/gtest.h>

#include <string>
#include <vector>

namespace llm::wire {
namespace {

using Lines = std::vector<std::string>;

class Recorder : public NdjsonHandler {
  public:
    Status on_line(std::string_view line) override {
        lines.emplace_back(line);
        return status;
    }

    Lines lines;
    Status status;
};

Status feed(NdjsonSplitter &splitter, std::string_view piece, Recorder &recorder) {
    std::vector<char> bytes(piece.begin(), piece.end());
    bytes.resize(bytes.size() + 64);
    return splitter.feed({bytes.data(), piece.size()}, recorder);
}

Lines split_in(std::string_view stream, size_t step, size_t first) {
    NdjsonSplitter splitter;
    Recorder recorder;
    EXPECT_TRUE(feed(splitter, stream.substr(0, first), recorder));
    for (size_t at = first; at < stream.size(); at += step) {
        EXPECT_TRUE(feed(splitter, stream.substr(at, step), recorder));
    }
    EXPECT_TRUE(splitter.finish(recorder));
    EXPECT_TRUE(splitter.at_boundary());
    return recorder.lines;
}

Lines split(std::string_view stream) {
    Lines lines = split_in(stream, stream.size() + 1, 0);
    for (size_t cut = 0; cut <= stream.size(); ++cut) {
        EXPECT_EQ(split_in(stream, stream.size() + 1, cut), lines) << "cut at " << cut;
    }
    EXPECT_EQ(split_in(stream, 1, 0), lines);
    return lines;
}

TEST(Ndjson, OneObjectALine) {
    EXPECT_EQ(split("{\"a\":1}\n{\"b\":2}\n"), (Lines{"{\"a\":1}", "{\"b\":2}"}));
}

TEST(Ndjson, TheLastLineMayLackItsEnd) {
    EXPECT_EQ(split("{}\n{\"b\":2}"), (Lines{"{}", "{\"b\":2}"}));
}

TEST(Ndjson, EmptyLinesAndCrLfSayNothing) {
    EXPECT_EQ(split("\n\r\n{\"a\":1}\r\n  \t\r\n\n{}\r\n"), (Lines{"{\"a\":1}", "{}"}));
    EXPECT_EQ(split(""), Lines{});
}

TEST(Ndjson, Gotcha4_OnlyLineFeedsEndLines) {
    EXPECT_EQ(split("{\"a\":\"\xe2\x80\xa8\xc2\x85\r\"}\n"),
              Lines{"{\"a\":\"\xe2\x80\xa8\xc2\x85\r\"}"});
}

TEST(Ndjson, LinesOverTheLimitAreRefusedHoweverTheyCome) {
    std::string line(100, 'x');
    for (size_t step : {1, 7, 1000}) {
        NdjsonSplitter splitter(99);
        Recorder recorder;
        Status status;
        for (size_t at = 0; at <= line.size() && status; at += step) {
            status = feed(splitter, (line + "\n").substr(at, step), recorder);
        }
        ASSERT_FALSE(status) << step;
        EXPECT_EQ(status.error().code, Errc::too_large);
        EXPECT_TRUE(recorder.lines.empty());
        EXPECT_LT(splitter.memory(), 1000u);
    }
    NdjsonSplitter splitter(100);
    Recorder recorder;
    EXPECT_TRUE(feed(splitter, line + "\n" + line + "\n", recorder));
    EXPECT_EQ(recorder.lines.size(), 2u);
}

TEST(Ndjson, AnErrorOfTheHandlerStopsTheFeed) {
    NdjsonSplitter splitter;
    Recorder recorder;
    recorder.status = Error{Errc::upstream_protocol, "no", {}, 0};
    EXPECT_FALSE(feed(splitter, "{}\n{}\n", recorder));
    EXPECT_EQ(recorder.lines.size(), 1u);
}

TEST(Ndjson, MemoryOfALargeLineIsGivenBack) {
    NdjsonSplitter splitter;
    Recorder recorder;
    std::string line(1u << 20, 'x');
    EXPECT_TRUE(feed(splitter, line, recorder));
    EXPECT_GE(splitter.memory(), line.size());
    EXPECT_TRUE(feed(splitter, "\n", recorder));
    EXPECT_LT(splitter.memory(), 64u << 10);
}

}  // namespace
}  // namespace llm::wire
