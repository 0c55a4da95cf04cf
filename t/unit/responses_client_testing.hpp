// What the tests of the Responses client side share: events written down, and the stream that the
// encoder makes of them, held to the grammar.
#pragma once

#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "t/check/responses_check.hpp"
#include "t/unit/openai_testing.hpp"

namespace llm::responses_testing {

using ir::BlockKind;
using ir::EventKind;

inline ir::StreamEvent make(EventKind kind, uint32_t block = 0, std::string_view text = {}) {
    ir::StreamEvent event;
    event.kind = kind;
    event.block = block;
    event.text = {text};
    return event;
}

inline ir::StreamEvent start(std::string_view id = "resp_1", std::string_view model = "m") {
    ir::StreamEvent event = make(EventKind::start);
    event.id = {id};
    event.name = {model};
    event.created = 1700000000;
    return event;
}

inline ir::StreamEvent open(uint32_t block, BlockKind kind, std::string_view id = {},
                            std::string_view name = {}) {
    ir::StreamEvent event = make(EventKind::open, block);
    event.block_kind = kind;
    event.id = {id};
    event.name = {name};
    return event;
}

inline ir::StreamEvent delta(uint32_t block, std::string_view text) {
    return make(EventKind::delta, block, text);
}

inline ir::StreamEvent opaque(EventKind kind, uint32_t block, std::string_view text,
                              DialectId origin) {
    ir::StreamEvent event = make(kind, block, text);
    event.block_kind = BlockKind::reasoning;
    event.origin = origin;
    return event;
}

inline ir::StreamEvent close(uint32_t block) {
    return make(EventKind::close, block);
}

inline ir::StreamEvent finish(ir::Finish reason) {
    ir::StreamEvent event = make(EventKind::finish);
    event.finish = reason;
    return event;
}

inline ir::StreamEvent end() {
    return make(EventKind::end);
}

// The encoder's bytes for some events; `view.ids` is set here.
inline std::string encode(const std::vector<ir::StreamEvent> &events, ClientView view = {}) {
    openai_testing::Ids ids;
    view.ids = &ids;
    auto encoder = kResponses.make_encoder(view);
    ByteBuffer out;
    for (const ir::StreamEvent &event : events) {
        encoder->event(event, out);
    }
    return std::string(out.view());
}

// What a strict client reads in it.
inline check::Answer read(std::string_view stream) {
    check::Problems problems;
    check::Answer answer = check::read_responses_stream(stream, {}, problems);
    for (const std::string &problem : problems) {
        ADD_FAILURE() << problem << "\n" << stream;
    }
    return answer;
}

// The names of the events, without "response.", in their order.
inline std::string names(std::string_view stream) {
    check::Problems problems;
    std::string all;
    for (const check::Frame &frame : check::split_frames(stream, problems)) {
        std::string_view name = frame.name;
        name.remove_prefix(name.starts_with("response.") ? 9 : 0);
        all.append(all.empty() ? "" : " ").append(name);
    }
    return all;
}

// A request whose answers show all that is there.
inline ClientView showing_all() {
    ClientView view;
    view.model = "asked-for";
    return view;
}

}  // namespace llm::responses_testing
