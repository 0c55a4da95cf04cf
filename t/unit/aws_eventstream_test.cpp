// AWS event streams. Every stream below is fed whole, cut at every byte and byte by byte: the
// messages and the verdict must be the same. Each piece is an allocation of its own, so a view
// that is kept too long is caught.
#include "translators/wire/aws_eventstream.hpp"

#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "t/check/aws_frames.hpp"
#include "translators/json/reader.hpp"

namespace llm::wire {
namespace {

using check::aws_event;
using check::aws_exception;
using check::aws_header;
using check::aws_message;

struct Seen {
    AwsMessageKind kind = AwsMessageKind::event;
    std::string name;
    std::string payload;
    std::string error_text;

    bool operator==(const Seen &) const = default;
};

class Recorder : public AwsHandler {
  public:
    Status on_aws(const AwsMessage &message) override {
        seen.push_back({message.kind, std::string(message.name), std::string(message.payload),
                        std::string(message.error_text)});
        raws.append(message.raw);
        for (size_t i = 0; i < json::kPadding; ++i) {  // a reader of JSON may look there
            sum = static_cast<unsigned char>(sum +
                                             message.payload.data()[message.payload.size() + i]);
        }
        return status;
    }

    std::vector<Seen> seen;
    std::string raws;
    unsigned char sum = 0;
    Status status;
};

struct Outcome {
    std::vector<Seen> seen;
    bool is_good = false;
    Errc code = Errc::internal;

    bool operator==(const Outcome &) const = default;
};

Outcome run(std::string_view stream, const std::vector<size_t> &cuts) {
    AwsSplitter splitter;
    Recorder recorder;
    size_t at = 0;
    Status status;
    std::vector<size_t> ends = cuts;
    ends.push_back(stream.size());
    for (size_t end : ends) {
        std::vector<char> bytes(stream.begin() + static_cast<ptrdiff_t>(at),
                                stream.begin() + static_cast<ptrdiff_t>(end));
        bytes.resize(bytes.size() + json::kPadding);
        status = splitter.feed({bytes.data(), end - at}, recorder);
        at = end;
        if (!status) {
            break;
        }
    }
    if (status) {
        EXPECT_EQ(splitter.at_boundary(), static_cast<bool>(splitter.finish()));
        status = splitter.finish();
    }
    if (status) {
        EXPECT_EQ(recorder.raws, stream);
    }
    return {recorder.seen, static_cast<bool>(status),
            status ? Errc::internal : status.error().code};
}

Outcome run_every_way(std::string_view stream) {
    Outcome whole = run(stream, {});
    std::vector<size_t> all;
    for (size_t cut = 1; cut < stream.size(); ++cut) {
        EXPECT_EQ(whole, run(stream, {cut})) << "cut at " << cut;
        all.push_back(cut);
    }
    EXPECT_EQ(whole, run(stream, all)) << "byte by byte";
    return whole;
}

std::string start() {
    return aws_event("messageStart", R"({"role":"assistant"})");
}

TEST(AwsEventstream, AMessageAsTheServiceSendsIt) {
    // Not of our own making, unlike the others here: the check of both.
    const unsigned char bytes[] = {
        0x00, 0x00, 0x00, 0x76, 0x00, 0x00, 0x00, 0x52, 0x96, 0xd5, 0xfa, 0xde, 0x0b, 0x3a, 0x65,
        0x76, 0x65, 0x6e, 0x74, 0x2d, 0x74, 0x79, 0x70, 0x65, 0x07, 0x00, 0x0c, 0x6d, 0x65, 0x73,
        0x73, 0x61, 0x67, 0x65, 0x53, 0x74, 0x61, 0x72, 0x74, 0x0d, 0x3a, 0x63, 0x6f, 0x6e, 0x74,
        0x65, 0x6e, 0x74, 0x2d, 0x74, 0x79, 0x70, 0x65, 0x07, 0x00, 0x10, 0x61, 0x70, 0x70, 0x6c,
        0x69, 0x63, 0x61, 0x74, 0x69, 0x6f, 0x6e, 0x2f, 0x6a, 0x73, 0x6f, 0x6e, 0x0d, 0x3a, 0x6d,
        0x65, 0x73, 0x73, 0x61, 0x67, 0x65, 0x2d, 0x74, 0x79, 0x70, 0x65, 0x07, 0x00, 0x05, 0x65,
        0x76, 0x65, 0x6e, 0x74, 0x7b, 0x22, 0x72, 0x6f, 0x6c, 0x65, 0x22, 0x3a, 0x22, 0x61, 0x73,
        0x73, 0x69, 0x73, 0x74, 0x61, 0x6e, 0x74, 0x22, 0x7d, 0x6f, 0xa8, 0xc5, 0x99};
    std::string_view stream(reinterpret_cast<const char *>(bytes), sizeof(bytes));
    EXPECT_EQ(start(), stream);
    Outcome outcome = run_every_way(stream);
    EXPECT_TRUE(outcome.is_good);
    ASSERT_EQ(outcome.seen.size(), 1u);
    EXPECT_EQ(outcome.seen[0],
              (Seen{AwsMessageKind::event, "messageStart", R"({"role":"assistant"})", ""}));
}

TEST(AwsEventstream, Gotcha6MessagesAreCutAcrossReadsAndSeveralArriveInOne) {
    std::string stream = start() +
                         aws_event("contentBlockDelta", "{\"delta\":{\"text\":\"\xc3\xa9\"}}") +
                         aws_event("messageStop", "{}") + aws_event("metadata", "");
    Outcome outcome = run_every_way(stream);
    EXPECT_TRUE(outcome.is_good);
    ASSERT_EQ(outcome.seen.size(), 4u);
    EXPECT_EQ(outcome.seen[1].payload, "{\"delta\":{\"text\":\"\xc3\xa9\"}}");
    EXPECT_EQ(outcome.seen[3].name, "metadata");
    EXPECT_EQ(outcome.seen[3].payload, "");
}

TEST(AwsEventstream, ExceptionsAndUnmodelledErrorsAreNoEvents) {
    std::string error = aws_message(check::AwsHeaders{{":message-type", "error"},
                                                      {":error-code", "InternalFailure"},
                                                      {":error-message", "It broke."}},
                                    "");
    Outcome outcome = run_every_way(
        start() + aws_exception("throttlingException", R"({"message":"slow"})") + error);
    ASSERT_EQ(outcome.seen.size(), 3u);
    EXPECT_EQ(outcome.seen[1], (Seen{AwsMessageKind::exception, "throttlingException",
                                     R"({"message":"slow"})", ""}));
    EXPECT_EQ(outcome.seen[2], (Seen{AwsMessageKind::error, "InternalFailure", "", "It broke."}));
}

TEST(AwsEventstream, WithoutAMessageTypeTheOtherHeadersSayWhatItIs) {
    Outcome outcome = run_every_way(
        aws_message(check::AwsHeaders{{":event-type", "messageStop"}}, "{}") +
        aws_message(check::AwsHeaders{{":exception-type", "validationException"}}, "{}"));
    ASSERT_EQ(outcome.seen.size(), 2u);
    EXPECT_EQ(outcome.seen[0].kind, AwsMessageKind::event);
    EXPECT_EQ(outcome.seen[1].kind, AwsMessageKind::exception);
}

TEST(AwsEventstream, HeadersOfEveryTypeAreSteppedOver) {
    std::string headers;
    const int sizes[] = {0, 0, 1, 2, 4, 8, -1, -1, 8, 16};
    for (int type = 0; type < 10; ++type) {
        headers.append("\x01x").push_back(static_cast<char>(type));
        if (sizes[type] < 0) {
            headers.append(
                std::string_view("\x00\x03"
                                 "abc",
                                 5));
        } else {
            headers.append(static_cast<size_t>(sizes[type]), '\xff');
        }
    }
    headers += aws_header(":message-type", "event") + aws_header(":event-type", "chunk");
    Outcome outcome = run_every_way(aws_message(headers, "{}"));
    EXPECT_TRUE(outcome.is_good);
    ASSERT_EQ(outcome.seen.size(), 1u);
    EXPECT_EQ(outcome.seen[0].name, "chunk");
}

TEST(AwsEventstream, ABitThatChangedIsFatalWhereverItIs) {
    std::string good = start() + aws_event("messageStop", "{}");
    size_t second = start().size();
    for (size_t at = second; at < good.size(); ++at) {
        std::string bad = good;
        bad[at] = static_cast<char>(bad[at] ^ 4);
        Outcome outcome = run(bad + start(), {});
        EXPECT_FALSE(outcome.is_good) << at;
        EXPECT_EQ(outcome.code, Errc::upstream_protocol) << at;
        EXPECT_EQ(outcome.seen.size(), 1u) << at;
    }
    std::string bad = good;
    bad[second + 20] = '\0';
    EXPECT_EQ(run_every_way(bad).seen.size(), 1u);
}

// A prelude alone, its own check sum right.
std::string prelude(std::string_view lengths) {
    std::string wrong(lengths);
    uint32_t sum = 0xffffffffu;
    for (char c : lengths) {
        sum ^= static_cast<unsigned char>(c);
        for (int i = 0; i < 8; ++i) {
            sum = sum >> 1 ^ (sum & 1 ? 0xedb88320u : 0);
        }
    }
    sum = ~sum;
    for (int shift = 24; shift >= 0; shift -= 8) {
        wrong.push_back(static_cast<char>(sum >> shift & 0xff));
    }
    return wrong;
}

TEST(AwsEventstream, LengthsOutOfRangeAreRefusedAtOnceAndAskForNoMemory) {
    const std::string_view lengths[] = {
        {"\xff\xff\xff\xff\x00\x00\x00\x00", 8},  // 4 GiB
        {"\x01\x80\x00\x01\x00\x00\x00\x00", 8},  // one more than 24 MiB
        {"\x00\x00\x00\x0f\x00\x00\x00\x00", 8},  // less than a message needs
        {"\x00\x00\x00\x20\x00\x00\x00\x11", 8},  // headers longer than the message
        {"\x00\x80\x00\x00\x00\x02\x00\x01", 8},  // more than 128 KiB of headers
    };
    for (std::string_view length : lengths) {
        AwsSplitter splitter;
        Recorder recorder;
        std::string bytes = prelude(length);
        bytes.append(json::kPadding, '\0');
        Status status = splitter.feed({bytes.data(), 12}, recorder);
        ASSERT_FALSE(status);
        EXPECT_EQ(status.error().code, Errc::upstream_protocol);
        EXPECT_LT(splitter.memory(), 1024u);
        // It stays refused.
        EXPECT_FALSE(splitter.feed({bytes.data(), 0}, recorder));
        EXPECT_FALSE(splitter.finish());
    }
}

TEST(AwsEventstream, HeadersThatRunPastTheirEndAreRefused) {
    for (std::string_view headers : {std::string_view("\x09:event"), std::string_view("\x01x"),
                                     std::string_view("\x01x\x07\x00", 4),
                                     std::string_view("\x01x\x07\x00\x05"
                                                      "ab",
                                                      7),
                                     std::string_view("\x01x\x09"
                                                      "123"),
                                     std::string_view("\x01x\x0a"),
                                     std::string_view("\x01x\x05"
                                                      "1234567")}) {
        Outcome outcome = run_every_way(aws_message(headers, "{}"));
        EXPECT_FALSE(outcome.is_good);
        EXPECT_EQ(outcome.code, Errc::upstream_protocol);
        EXPECT_TRUE(outcome.seen.empty());
    }
}

TEST(AwsEventstream, AnEndInsideAMessageIsATruncation) {
    std::string stream = start() + aws_event("messageStop", "{}");
    for (size_t size = start().size() + 1; size < stream.size(); ++size) {
        Outcome outcome = run(std::string_view(stream).substr(0, size), {});
        EXPECT_EQ(outcome.code, Errc::stream_truncated) << size;
        EXPECT_EQ(outcome.seen.size(), 1u);
    }
}

TEST(AwsEventstream, TheHandlersErrorStopsTheFeed) {
    AwsSplitter splitter;
    Recorder recorder;
    recorder.status = Error{Errc::internal, "enough", {}, 0};
    std::string stream = start() + start();
    size_t size = stream.size();
    stream.append(json::kPadding, '\0');
    Status status = splitter.feed({stream.data(), size}, recorder);
    ASSERT_FALSE(status);
    EXPECT_EQ(status.error().code, Errc::internal);
    EXPECT_EQ(recorder.seen.size(), 1u);
}

TEST(AwsEventstream, ManyMessagesNeedNoMoreMemoryThanTheLongest) {
    AwsSplitter splitter;
    Recorder recorder;
    std::string message = aws_event("contentBlockDelta", std::string(1000, 'x'));
    size_t after_first = 0;
    for (int i = 0; i < 100; ++i) {
        for (std::string_view half :
             {std::string_view(message).substr(0, 500), std::string_view(message).substr(500)}) {
            std::string bytes(half);
            bytes.append(json::kPadding, '\0');
            ASSERT_TRUE(splitter.feed({bytes.data(), half.size()}, recorder));
        }
        after_first = i == 0 ? splitter.memory() : after_first;
    }
    EXPECT_EQ(recorder.seen.size(), 100u);
    EXPECT_EQ(splitter.memory(), after_first);
}

}  // namespace
}  // namespace llm::wire
