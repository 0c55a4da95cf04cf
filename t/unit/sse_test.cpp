// Server-sent events. Every stream below is fed whole, cut at every byte (and again three bytes
// later), and byte by byte: the events must be the same, and their raw bytes together must be the
// stream. Each piece is an allocation of its own, so a view that is kept too long is caught.
#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "translators/wire/sse.hpp"

namespace llm::wire {
namespace {

struct Seen {
    std::string name;
    std::string data;
    bool has_data = false;
    std::string raw;

    bool operator==(const Seen &) const = default;
};

class Recorder : public SseHandler {
  public:
    Status on_sse(const SseEvent &event) override {
        seen.push_back({std::string(event.name), std::string(event.data), event.has_data,
                        std::string(event.raw)});
        return status;
    }

    std::vector<Seen> seen;
    Status status;
};

// Each piece in its own allocation: a view kept across feeds would be caught.
void feed(SseSplitter &splitter, std::string_view piece, Recorder &recorder) {
    std::vector<char> bytes(piece.begin(), piece.end());
    bytes.resize(bytes.size() + 64);
    ASSERT_TRUE(splitter.feed({bytes.data(), piece.size()}, recorder));
}

std::vector<Seen> split(std::string_view stream, const std::vector<size_t> &cuts) {
    SseSplitter splitter;
    Recorder recorder;
    size_t at = 0;
    for (size_t cut : cuts) {
        feed(splitter, stream.substr(at, cut - at), recorder);
        at = cut;
    }
    feed(splitter, stream.substr(at), recorder);
    EXPECT_TRUE(splitter.finish(recorder));
    EXPECT_TRUE(splitter.at_boundary());
    std::string raws;
    for (const Seen &event : recorder.seen) {
        raws += event.raw;
    }
    EXPECT_EQ(raws, stream);
    return recorder.seen;
}

// (name, data) of the events with data, after trying all cuts.
using Events = std::vector<std::pair<std::string, std::string>>;

Events events_of(std::string_view stream) {
    std::vector<Seen> whole = split(stream, {});
    std::vector<size_t> bytewise;
    for (size_t cut = 0; cut <= stream.size(); ++cut) {
        EXPECT_EQ(split(stream, {cut}), whole) << "cut at " << cut << " of " << stream;
        if (cut + 3 < stream.size()) {
            EXPECT_EQ(split(stream, {cut, cut + 3}), whole) << "cut at " << cut;
        }
        bytewise.push_back(cut);
    }
    EXPECT_EQ(split(stream, bytewise), whole) << "bytewise " << stream;
    Events events;
    for (const Seen &event : whole) {
        if (event.has_data) {
            events.emplace_back(event.name, event.data);
        } else {
            EXPECT_TRUE(event.data.empty());
        }
    }
    return events;
}

TEST(Sse, PlainEvents) {
    EXPECT_EQ(events_of("data: {\"x\":1}\n\ndata: [DONE]\n\n"),
              (Events{{"", "{\"x\":1}"}, {"", "[DONE]"}}));
    EXPECT_EQ(events_of(""), Events{});
}

TEST(Sse, Gotcha2_AllLineEndsAndNoSpace) {
    Events two{{"", "1"}, {"", "2"}};
    EXPECT_EQ(events_of("data: 1\r\n\r\ndata: 2\r\n\r\n"), two);
    EXPECT_EQ(events_of("data: 1\r\rdata: 2\r\r"), two);
    EXPECT_EQ(events_of("data: 1\n\ndata: 2\r\r"), two);
    EXPECT_EQ(events_of("data: 1\n\r\ndata: 2\r\n\n"), two);
    EXPECT_EQ(events_of("data: 1\r\n\rdata: 2\n\r"), two);
    EXPECT_EQ(events_of("data:1\n\ndata:2\n\n"), two);
    EXPECT_EQ(events_of("data:  two spaces\n\n"), (Events{{"", " two spaces"}}));
    EXPECT_EQ(events_of("data:\ttab\n\n"), (Events{{"", "\ttab"}}));
}

TEST(Sse, Gotcha3_CrLfCutBetweenItsBytesEndsOneLine) {
    SseSplitter splitter;
    Recorder recorder;
    feed(splitter, "data: 1\r", recorder);
    feed(splitter, "\ndata: 2\r", recorder);
    EXPECT_EQ(recorder.seen.size(), 0u);
    feed(splitter, "\n\r\n", recorder);
    ASSERT_EQ(recorder.seen.size(), 1u);
    EXPECT_EQ(recorder.seen[0].data, "1\n2");
}

// Waiting for the byte behind it would hold the event back until the next one.
TEST(Sse, ASecondCrEndsAnEventAtOnce) {
    for (std::string_view piece : {"data: 1\r\r",
                                   "\xef\xbb\xbf"
                                   "data: 1\r\r",
                                   "\rdata: 1\r\r"}) {
        SseSplitter whole;
        Recorder seen;
        feed(whole, piece, seen);
        ASSERT_FALSE(seen.seen.empty()) << piece;
        EXPECT_EQ(seen.seen.back().data, "1");
        EXPECT_TRUE(whole.at_boundary());
    }
    SseSplitter splitter;
    Recorder recorder;
    feed(splitter, "data: 1\r", recorder);
    EXPECT_EQ(recorder.seen.size(), 0u);
    feed(splitter, "\r", recorder);
    ASSERT_EQ(recorder.seen.size(), 1u);
    // A line feed behind them belongs to nothing, wherever the bytes are cut.
    Events two{{"", "1"}, {"", "2"}};
    EXPECT_EQ(events_of("data: 1\r\r\ndata: 2\r\r\n"), two);
    EXPECT_EQ(events_of("data: 1\r\r\n\r\ndata: 2\r\n\r\n"), two);
    EXPECT_EQ(events_of("\r\rdata: 1\r\r\r\r\ndata: 2\r\r"), two);
}

TEST(Sse, Gotcha4_OnlyCrAndLfEndLines) {
    std::string data =
        "{\"t\":\"a\xe2\x80\xa8"
        "b\xe2\x80\xa9"
        "c\xc2\x85"
        "d\f\v\x1c"
        "e\"}";
    EXPECT_EQ(events_of("data: " + data + "\n\n"), (Events{{"", data}}));
}

TEST(Sse, Gotcha1_TextCutInsideACharacter) {
    std::string data = "{\"t\":\"na\xc3\xafve \xe6\x97\xa5\xe6\x9c\xac \xf0\x9f\x9a\x80\"}";
    EXPECT_EQ(events_of("data: " + data + "\n\n"), (Events{{"", data}}));
}

TEST(Sse, EventNames) {
    EXPECT_EQ(events_of("event: start\ndata: {}\n\nevent:ping\ndata: {\"type\": \"ping\"}\n\n"),
              (Events{{"start", "{}"}, {"ping", "{\"type\": \"ping\"}"}}));
    EXPECT_EQ(events_of("data: 1\nevent: late\n\ndata: 2\n\n"), (Events{{"late", "1"}, {"", "2"}}));
    EXPECT_EQ(events_of("event: lonely\n\ndata: 1\n\n"), (Events{{"", "1"}}));
}

TEST(Sse, CommentsAreKeepAlives) {
    std::string stream = ": WORKING\n\ndata: 1\n\n:\n:alive\ndata: 2\n: between\n\n";
    EXPECT_EQ(events_of(stream), (Events{{"", "1"}, {"", "2"}}));
    std::vector<Seen> seen = split(stream, {});
    ASSERT_EQ(seen.size(), 3u);
    EXPECT_FALSE(seen[0].has_data);
    EXPECT_EQ(seen[0].raw, ": WORKING\n\n");
    EXPECT_EQ(seen[2].raw, ":\n:alive\ndata: 2\n: between\n\n");
}

TEST(Sse, SeveralDataLines) {
    EXPECT_EQ(events_of("data: {\"a\":\ndata: 1}\n\n"), (Events{{"", "{\"a\":\n1}"}}));
    EXPECT_EQ(events_of("data: a\r\ndata\r\ndata: b\r\n\r\n"), (Events{{"", "a\n\nb"}}));
    EXPECT_EQ(events_of("data\n\n"), (Events{{"", ""}}));
    EXPECT_EQ(events_of("data:\n\n"), (Events{{"", ""}}));
    EXPECT_EQ(events_of("data:\ndata:\n\n"), (Events{{"", "\n"}}));
}

TEST(Sse, OtherFieldsAreIgnored) {
    EXPECT_EQ(events_of("id: 7\nretry: 10\nfoo: bar\nDATA: no\ndatas: no\ndata : no\ndata: 1\n\n"),
              (Events{{"", "1"}}));
    EXPECT_EQ(events_of("data: a:b: c\n\n"), (Events{{"", "a:b: c"}}));
}

TEST(Sse, ByteOrderMark) {
    EXPECT_EQ(events_of("\xef\xbb\xbf"
                        "data: 1\n\ndata: 2\n\n"),
              (Events{{"", "1"}, {"", "2"}}));
    EXPECT_EQ(events_of("\xef\xbb\xbf\n\ndata: 1\n\n"), (Events{{"", "1"}}));
    EXPECT_EQ(events_of("\xef\xbb\xbf\r\n\r\ndata: 1\r\n\r\n"), (Events{{"", "1"}}));
    EXPECT_EQ(events_of("\xef\xbb\xbf"), Events{});
    // Only at the start of the stream.
    EXPECT_EQ(events_of("data: 1\n\n\xef\xbb\xbf"
                        "data: 2\n\n"),
              (Events{{"", "1"}}));
}

TEST(Sse, ManyBlankLines) {
    EXPECT_EQ(events_of("\n\n\ndata: 1\n\n\n\n\r\n\r\rdata: 2\n\n\n"),
              (Events{{"", "1"}, {"", "2"}}));
}

TEST(Sse, LastEventWithoutItsBlankLine) {
    EXPECT_EQ(events_of("data: {\"a\":1}\n"), (Events{{"", "{\"a\":1}"}}));
    EXPECT_EQ(events_of("data: {\"a\":1}"), (Events{{"", "{\"a\":1}"}}));
    EXPECT_EQ(events_of("data: {\"a\":1}\r"), (Events{{"", "{\"a\":1}"}}));
    EXPECT_EQ(events_of("data: 1\n\nevent: e\ndata: [DONE]"), (Events{{"", "1"}, {"e", "[DONE]"}}));
    EXPECT_EQ(events_of("data: 1\n\ndata: {\"a"), (Events{{"", "1"}, {"", "{\"a"}}));
}

TEST(Sse, BoundariesAreKnown) {
    SseSplitter splitter;
    Recorder recorder;
    EXPECT_TRUE(splitter.at_boundary());
    feed(splitter, "data: 1\n", recorder);
    EXPECT_FALSE(splitter.at_boundary());
    feed(splitter, "\n", recorder);
    EXPECT_TRUE(splitter.at_boundary());
    feed(splitter, "", recorder);
    EXPECT_TRUE(splitter.at_boundary());
}

TEST(Sse, WholeEventsAreViewsIntoTheFedBytes) {
    struct Views : SseHandler {
        Status on_sse(const SseEvent &event) override {
            last = event;
            return {};
        }
        SseEvent last;
    } views;
    std::string stream = "event: x\ndata: one\n\ndata: two\n\n";
    stream.reserve(stream.size() + 64);
    SseSplitter splitter;
    ASSERT_TRUE(splitter.feed(stream, views));
    EXPECT_EQ(views.last.data.data(), stream.data() + stream.find("two"));
    EXPECT_EQ(splitter.memory(), SseSplitter().memory());
}

TEST(Sse, AnEventOverTheLimitIsRefused) {
    std::string event = "data: " + std::string(100, 'x') + "\n\n";
    for (size_t piece : {size_t{1}, size_t{7}, event.size()}) {
        for (size_t limit : {event.size() - 1, event.size()}) {
            SseSplitter splitter(limit);
            Recorder recorder;
            Status status;
            for (size_t at = 0; at < event.size() && status; at += piece) {
                status = splitter.feed(std::string_view(event).substr(at, piece), recorder);
            }
            EXPECT_EQ(static_cast<bool>(status), limit == event.size()) << piece;
            if (!status) {
                EXPECT_EQ(status.error().code, Errc::too_large);
                EXPECT_TRUE(recorder.seen.empty());
            }
        }
    }
}

TEST(Sse, AnEndlessLineIsRefusedBeforeItFillsTheMemory) {
    SseSplitter splitter(1000);
    Recorder recorder;
    Status status;
    size_t fed = 0;
    while (status && fed < 100000) {
        status = splitter.feed("data: xxxxxxxxxxxxxxxxxxxxxx", recorder);
        fed += 28;
    }
    EXPECT_LE(fed, 1028u);
    EXPECT_LE(splitter.memory(), 4096u);
}

TEST(Sse, AnErrorOfTheHandlerStopsTheFeed) {
    for (std::string_view first : {"", "data: "}) {
        SseSplitter splitter;
        Recorder recorder;
        recorder.status = Error{Errc::upstream_protocol, "no", {}, 0};
        ASSERT_TRUE(splitter.feed(first, recorder));
        EXPECT_FALSE(splitter.feed("data: 1\n\ndata: 2\n\n", recorder));
        EXPECT_EQ(recorder.seen.size(), 1u);
    }
}

TEST(Sse, OneGiantEventDoesNotKeepItsMemory) {
    SseSplitter splitter;
    Recorder recorder;
    std::string line = "data: " + std::string(2u << 20, 'x') + "\n";
    feed(splitter, line, recorder);
    feed(splitter, line, recorder);
    feed(splitter, "\n", recorder);
    ASSERT_EQ(recorder.seen.size(), 1u);
    EXPECT_EQ(recorder.seen[0].data.size(), (4u << 20) + 1);
    EXPECT_LT(splitter.memory(), 1u << 20);
}

}  // namespace
}  // namespace llm::wire
