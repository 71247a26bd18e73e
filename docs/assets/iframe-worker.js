// Browsers refuse workers on file:// addresses. There a hidden frame takes the place of the worker that searches,
// so that the site needs no server. Material for MkDocs looks for a shim by this file's name.
if (location.protocol === "file:") {
  window.Worker = class extends EventTarget {
    constructor(address) {
      super()
      const frame = document.createElement("iframe")
      frame.hidden = true
      frame.src = "javascript:false"
      document.body.append(frame)
      const inside = (this.inside = frame.contentWindow)
      inside.postMessage = (data) => this.dispatchEvent(new MessageEvent("message", { data }))
      inside.importScripts = (...addresses) =>
        addresses.reduce((last, next) => last.then(() => load(inside.document, next)), Promise.resolve())
      this.ready = load(inside.document, address)
    }
    postMessage(data) {
      this.ready.then(() => this.inside.dispatchEvent(new MessageEvent("message", { data })))
    }
    terminate() {
      this.inside.frameElement.remove()
    }
    set onmessage(listener) {
      this.addEventListener("message", listener)
    }
  }

  function load(page, address) {
    return new Promise((resolve, reject) => {
      const script = page.createElement("script")
      script.src = address
      script.onload = resolve
      script.onerror = reject
      page.head.append(script)
    })
  }
}
