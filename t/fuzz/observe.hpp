// An observer must survive every stream that passes through.
#pragma once

#include <memory>
#include <string>
#include <string_view>

#include "translators/dialect/dialect.hpp"

namespace llm::fuzz {

inline void observe(const Dialect &dialect, std::string_view stream,
                    const ObserverOptions &options) {
    struct Watch final : wire::SseHandler {
        Status on_sse(const wire::SseEvent &frame) override {
            observer->on_frame(frame);
            return {};
        }
        std::unique_ptr<Observer> observer;
    };
    Watch watch;
    watch.observer = dialect.make_observer(options);
    wire::SseSplitter splitter;
    std::string padded(stream);
    padded.append(json::kPadding, '"');
    if (splitter.feed({padded.data(), stream.size()}, watch) && splitter.finish(watch)) {
        ByteBuffer tail;
        watch.observer->finish(tail);
    }
}

}  // namespace llm::fuzz
